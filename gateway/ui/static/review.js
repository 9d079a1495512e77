// The reader's review beside the findings: decisions, comments, signing (docs/review.md).

import { ask } from "./common.js";

const SAVE_MILLISECONDS = 1500; // after the last change

const place = document.getElementById("review");
const said = place && JSON.parse(place.dataset.words);
const state = document.getElementById("review-state");
const comment = document.getElementById("review-comment");
const buttons = Object.fromEntries(
  ["begin", "save", "sign"].map((name) => [name, document.getElementById(`review-${name}`)]),
);
const decisions = () => [...document.querySelectorAll(".decision[data-check]")];
let review = null;
let waiting = 0;

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function tell(text) {
  state.textContent = text;
}

const path = (suffix = "") => `/v1/reviews/${review.review_id}${suffix}`;

/** Draw the controls of one check from the draft. */
function draw(box) {
  const name = box.dataset.check;
  const found = review.content.findings?.[name];
  const press = (decision, label, extra = {}) => {
    const on = found?.decision === decision && (!extra.state || found.state === extra.state);
    const button = element("button", { type: "button", textContent: label });
    button.setAttribute("aria-pressed", String(on));
    button.addEventListener("click", () => decide(box, on ? null : { ...found, state: undefined, decision, ...extra }));
    return button;
  };
  const parts = [press("accepted", said.accept)];
  if (box.dataset.state === "positive") parts.push(press("rejected", said.reject));
  for (const other of ["positive", "negative", "indeterminate"]) {
    if (other !== box.dataset.state && !(other === "negative" && box.dataset.state === "positive")) {
      parts.push(press("corrected", `${said.correct}: ${said[other]}`, { state: other }));
    }
  }
  const note = element("input", {
    placeholder: said.comment, maxLength: 10000, value: found?.comment ?? "", dir: "auto",
  });
  note.setAttribute("aria-label", `${said.comment}: ${name}`);
  note.addEventListener("input", () => {
    const now = review.content.findings?.[name];
    if (!now) return tell(said.to_undecided);
    now.comment = note.value;
    changed();
  });
  box.replaceChildren(...parts, note);
  box.toggleAttribute("data-decided", Boolean(found));
  box.hidden = false;
}

function decide(box, finding) {
  review.content.findings ??= {};
  const comment = box.querySelector("input")?.value;
  if (finding) {
    review.content.findings[box.dataset.check] = JSON.parse(JSON.stringify({ ...finding, comment: comment || undefined }));
  } else {
    delete review.content.findings[box.dataset.check];
  }
  draw(box);
  changed();
}

function changed() {
  clearTimeout(waiting);
  waiting = setTimeout(save, SAVE_MILLISECONDS);
}

async function save() {
  clearTimeout(waiting);
  review.content.comment = comment.value;
  try {
    review.revision = (await ask("PUT", path(), { revision: review.revision, content: review.content })).revision;
    tell(said.saved);
    return true;
  } catch (error) {
    tell(error.message);
    return false;
  }
}

async function sign() {
  buttons.sign.disabled = true;
  if (await save()) {
    try {
      await ask("POST", path("/sign"), { revision: review.revision });
      return location.reload();
    } catch (error) {
      tell(error.message);
    }
  }
  buttons.sign.disabled = false;
}

async function begin(body) {
  try {
    review = await ask("POST", `/v1/screenings/${place.dataset.screening}/reviews`, body);
  } catch (error) {
    return tell(error.message);
  }
  review.content ??= {};
  comment.value = review.content.comment ?? "";
  comment.disabled = false;
  buttons.begin.hidden = true;
  buttons.save.hidden = buttons.sign.hidden = false;
  tell(said.to_undecided);
  decisions().forEach(draw);
}

async function look() {
  comment.disabled = true;
  const { reviews } = await ask("GET", `/v1/screenings/${place.dataset.screening}/reviews`);
  const final = reviews.find((one) => one.final && !one.amended_by);
  const draft = reviews.find((one) => one.state === "draft" && one.content);
  // Whoever was second to sign goes on with his draft as an amendment of what was signed.
  if (draft) return begin(final ? { amends: final.review_id } : {});
  buttons.begin.hidden = false;
  if (final) {
    comment.value = final.content?.comment ?? "";
    buttons.begin.textContent = said.amend;
    tell(`${said.signed_by} ${final.reader}, ${new Date(final.signed_at).toLocaleString(document.documentElement.lang)}`);
  }
  buttons.begin.addEventListener("click", () => begin(final ? { amends: final.review_id } : {}));
}

if (place) {
  buttons.save.addEventListener("click", save);
  buttons.sign.addEventListener("click", sign);
  comment.addEventListener("input", changed);
  look().catch((error) => tell(error.message));
}
