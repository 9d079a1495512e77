// The lesions of one check under review: accepted, rejected, corrected, added.

import { commentField, element, kindField, press, sizeField } from "./fields.js";
import { addedOf } from "./verdicts.js";

/** Draw the decisions on a check's lesions; `desk` holds the draft, see review.js. */
export function drawLesions(desk, card) {
  const check = card.dataset.check;
  if (!desk.isDraft && !desk.final) return; // nothing is said of any yet
  for (const place of card.querySelectorAll(".judged")) {
    const lesion = desk.view.lesions.find((one) => `${one.check}/${one.id}` === place.dataset.judged);
    if (lesion) drawRow(desk, check, lesion, place);
  }
  const place = card.querySelector(".additions");
  if (!place) return;
  const rows = addedOf(desk.findings[check]).map((one, index) => addedRow(desk, check, one, index));
  const list = rows.length ? element("ol", { className: "lesions" }, ...rows) : null;
  const more = desk.isDraft && desk.reader
    ? press(`+ ${desk.words.add_lesion}`, () => desk.add(check), { className: "add" })
    : null;
  more?.append(element("kbd", { textContent: "k", aria: { hidden: "true" } }));
  place.replaceChildren(...[list, more].filter(Boolean));
  place.hidden = !list && !more;
}

function drawRow(desk, check, lesion, place) {
  const { words } = desk, finding = desk.findings[check];
  const fate = desk.fateOf(lesion);
  const entry = finding?.lesions?.find((one) => one.id === lesion.id);
  const name = `${check} ${lesion.id}`;
  const open = desk.isOpen(lesion) && fate !== "corrected";
  const button = (decision, glyph, word, act, pressed = fate === decision) =>
    press(glyph, act, { pressed, name: `${word}: ${name}`, className: decision });
  const toggle = (decision) => () => desk.toggle(check, lesion.id, decision);
  const buttons = desk.isDraft
    ? element("span", { className: "verdict" },
      button("accepted", "✓", words.accept, toggle("accepted")),
      button("rejected", "✕", words.reject, toggle("rejected")),
      button("corrected", "✎", words.correct_lesion, () => desk.correct(check, lesion), fate === "corrected" || open))
    : element("span", { className: `chip ${fate}`, textContent: fate ? words[fate] : words.stands });
  const parts = [buttons];
  if (desk.isDraft && (fate === "corrected" || open)) parts.push(correction(desk, check, lesion, entry ?? {}));
  else if (desk.isDraft && entry?.decision === "rejected") parts.push(why(desk, check, entry, name));
  else if (entry?.comment || fate === "corrected") parts.push(element("p", { className: "said", textContent: said(desk, entry) }));
  place.replaceChildren(...parts);
  place.hidden = false;
  place.closest("li").dataset.fate = fate;
}

/** Fields that begin with what the check says; what differs from it is the correction. */
function correction(desk, check, lesion, entry) {
  const { words } = desk, name = `${check} ${lesion.id}`;
  const now = { kind: null, long_diameter_mm: null, short_diameter_mm: null, ...lesion, ...entry };
  const change = (field) => (value) => {
    now[field] = value;
    const { id, decision, comment, ...kept } = entry;
    for (const one of ["kind", "long_diameter_mm", "short_diameter_mm"]) {
      if (now[one] !== null && now[one] !== rounded(lesion[one])) kept[one] = now[one];
      else delete kept[one];
    }
    const changes = Object.keys(kept).length > 0;
    desk.judge(check, lesion.id, changes ? { decision: "corrected", ...kept, comment: comment ?? "" } : null);
  };
  return element("div", { className: "fields" },
    kindField(words.kind, `${words.kind}: ${name}`, now.kind, desk.kinds(check), change("kind")),
    sizeField(words.long, `${words.long}, mm: ${name}`, rounded(now.long_diameter_mm), change("long_diameter_mm")),
    sizeField(words.short, `${words.short}, mm: ${name}`, rounded(now.short_diameter_mm), change("short_diameter_mm")),
    entry.decision === "corrected" ? why(desk, check, entry, name) : null);
}

function addedRow(desk, check, lesion, index) {
  const { words } = desk, id = `+${index + 1}`, name = `${check} ${id}`;
  const go = press("", () => desk.show(check, id), { className: "lesion own" });
  go.dataset.lesion = `${check}/${id}`;
  go.append(
    element("span", { className: "number", textContent: id }),
    element("span", { className: "label", textContent: desk.nameOf(lesion.kind) ?? words.added }),
    element("span", { className: "numbers", textContent: numbers(desk, lesion) }));
  if (!desk.isDraft) return element("li", {}, go);
  const change = (field) => (value) => {
    if (value === null) delete lesion[field];
    else lesion[field] = value;
    desk.changed(check);
  };
  return element("li", {}, go,
    element("span", { className: "verdict" },
      press("✕", () => desk.remove(check, index), { name: `${words.remove}: ${name}`, className: "remove" })),
    element("div", { className: "fields" },
      kindField(words.kind, `${words.kind}: ${name}`, lesion.kind, desk.kinds(check), change("kind")),
      sizeField(words.long, `${words.long}, mm: ${name}`, lesion.long_diameter_mm, change("long_diameter_mm")),
      why(desk, check, lesion, name)));
}

function why(desk, check, entry, name) {
  return commentField(desk.words.comment, `${desk.words.comment}: ${name}`, entry.comment, (text) => {
    entry.comment = text;
    desk.draft.changed();
  });
}

function said(desk, entry) {
  const size = entry?.long_diameter_mm ? `${entry.long_diameter_mm.toFixed(1)} mm` : null;
  return [desk.nameOf(entry?.kind), size, entry?.comment].filter(Boolean).join(" · ");
}

function numbers(desk, lesion) {
  const size = lesion.long_diameter_mm ? ` · ${lesion.long_diameter_mm.toFixed(1)} mm` : "";
  return `${desk.words.slice} ${lesion.slice_index + 1}${size}`;
}

function rounded(value) {
  return typeof value === "number" ? Math.round(value * 10) / 10 : value ?? null;
}
