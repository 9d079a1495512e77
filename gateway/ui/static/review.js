// The reader's review beside the findings: decisions, comments, signing (docs/review.md).

import { ask, tell } from "./common.js";
import { drawDecision } from "./decision.js";
import { Draft } from "./draft.js";
import { drawLesions } from "./lesions.js";
import { added, addedOf, fateOf, isPending, judged } from "./verdicts.js";

const MARKING = ["teaching", "study"]; // purposes of reviews that are no report

export class Desk {
  /** `reader` is null where no picture is shown. */
  constructor(place, reader, view) {
    this.place = place;
    this.reader = reader;
    this.view = view;
    this.words = JSON.parse(place.dataset.words);
    this.state = document.getElementById("review-state");
    this.comment = document.getElementById("review-comment");
    this.buttons = Object.fromEntries(
      ["begin", "save", "sign"].map((name) => [name, document.getElementById(`review-${name}`)]),
    );
    this.draft = new Draft(this.words, (text) => this.say(text));
    this.signed = {};
    this.opened = "";
    this.current = reader?.chosen?.check ?? "";
    this.listen();
  }

  get isDraft() {
    return this.draft.review !== null;
  }

  get findings() {
    return (this.isDraft ? this.draft.content.findings : this.signed.findings) ?? {};
  }

  say(text) {
    this.state.textContent = text;
  }

  cards() {
    return [...document.querySelectorAll("article.check[data-check]")];
  }

  card(check) {
    return this.cards().find((one) => one.dataset.check === check);
  }

  boxOf(card) {
    return card.querySelector(".decision");
  }

  kinds(check) {
    return JSON.parse(this.boxOf(this.card(check)).dataset.kinds);
  }

  nameOf(kind) {
    return kind ? this.words.kinds[kind] ?? kind.replaceAll("_", " ") : null;
  }

  rules(check) {
    const shown = this.view.lesions.filter((one) => one.check === check).map((one) => one.id);
    return { shown, state: this.boxOf(this.card(check)).dataset.state };
  }

  fateOf({ check, id }) {
    return fateOf(this.findings[check], id, this.rules(check).state);
  }

  // --- deciding

  /** Put what is said of a check into the draft; null is nothing. */
  decide(check, finding) {
    if (!this.isDraft) return;
    this.draft.content.findings ??= {};
    const { comment } = this.findings[check] ?? {};
    if (finding) this.draft.content.findings[check] = { comment: comment ?? "", ...finding };
    else delete this.draft.content.findings[check];
    this.changed(check);
  }

  judge(check, id, said) {
    if (said?.decision !== "corrected") this.opened = "";
    this.decide(check, judged(this.findings[check], id, said, this.rules(check)));
  }

  /** Decide on a lesion, or take the decision back. */
  toggle(check, id, decision) {
    this.judge(check, id, this.fateOf({ check, id }) === decision ? null : { decision });
  }

  /** Show the fields of a correction; what is written there stays until another decision is taken. */
  correct(check, lesion) {
    const key = `${check}/${lesion.id}`, was = this.opened;
    const isCorrected = this.fateOf(lesion) === "corrected";
    this.opened = was === key && !isCorrected ? "" : key;
    this.draw(this.card(check));
    this.fieldOf(check, lesion.id, "select, input")?.focus();
  }

  isOpen(lesion) {
    return this.opened === `${lesion.check}/${lesion.id}`;
  }

  add(check, byKey = false) {
    if (!this.isDraft || !this.reader || !this.card(check)) return;
    const { point, space, volume } = this.reader;
    const size = this.reader.takeSize();
    const lesion = {
      centre_mm: space.toMm(point).map((value) => Math.round(value * 100) / 100),
      series_instance_uid: volume.series_instance_uid,
      slice_index: point[0],
      ...(size ? { long_diameter_mm: size } : {}),
    };
    this.decide(check, added(this.findings[check], { lesion }, this.rules(check)));
    const id = `+${addedOf(this.findings[check]).length}`;
    this.show(check, id);
    tell(`${this.words.added}: ${check} ${id}`);
    if (byKey && !size) this.fieldOf(check, id, ".size input")?.focus();
  }

  remove(check, index) {
    this.reader?.choose(null);
    this.decide(check, added(this.findings[check], { index }, this.rules(check)));
    this.card(check).querySelector(".add")?.focus({ preventScroll: true });
  }

  show(check, id) {
    const found = this.reader?.own.find((one) => one.check === check && one.id === id);
    if (found) this.reader.jump(found);
  }

  fieldOf(check, id, what) {
    const row = document.querySelector(`[data-lesion="${CSS.escape(`${check}/${id}`)}"]`)?.closest("li");
    return row?.querySelector(`.fields :is(${what})`);
  }

  // --- drawing

  changed(check) {
    this.draft.changed();
    this.draw(this.card(check));
  }

  draw(card) {
    const focused = document.activeElement?.getAttribute("aria-label");
    drawLesions(this, card);
    drawDecision(this, card);
    this.drawOnSlices();
    if (focused && !document.activeElement?.closest(".check")) {
      card.querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    }
  }

  /** Lay the decisions on the slices: what is rejected is struck, what was added is drawn. */
  drawOnSlices() {
    const own = [...this.view.marks];
    for (const lesion of this.view.lesions) {
      const entry = this.findings[lesion.check]?.lesions?.find((one) => one.id === lesion.id);
      lesion.judged = this.fateOf(lesion);
      lesion.corrected_mm = entry?.long_diameter_mm ? ball({ ...lesion, ...entry }) : null;
    }
    for (const card of this.cards()) {
      const check = card.dataset.check;
      addedOf(this.findings[check]).forEach((one, index) => {
        const id = `+${index + 1}`, name = `${check} ${id}`;
        own.push({ check, id, name, label: name, centre_mm: one.centre_mm, mm: one.long_diameter_mm ?? null });
      });
    }
    this.reader?.showOwn(own);
  }

  redraw() {
    for (const card of this.cards()) this.draw(card);
    this.turnTo(this.current);
  }

  /** Keys that name no check mean this one. */
  turnTo(check) {
    const cards = this.cards();
    const card = this.card(check) ?? cards.find((one) => one.classList.contains("shows")) ?? cards[0];
    this.current = card?.dataset.check ?? "";
    for (const one of cards) one.toggleAttribute("data-current", one === card);
  }

  // --- the draft

  listen() {
    this.buttons.save.addEventListener("click", () => this.draft.save());
    this.buttons.sign.addEventListener("click", () => this.sign());
    this.buttons.begin.addEventListener("click", () => this.begin());
    this.comment.addEventListener("input", () => {
      this.draft.content.comment = this.comment.value;
      this.draft.changed();
    });
    if (this.reader) this.reader.onChosen = ({ check }) => this.card(check) && this.turnTo(check);
    const turn = (event) => {
      const card = event.target.closest("article.check[data-check]");
      if (card) this.turnTo(card.dataset.check);
    };
    for (const kind of ["click", "focusin"]) document.querySelector("aside").addEventListener(kind, turn);
  }

  async look() {
    this.comment.disabled = true;
    const { reviews } = await ask("GET", `/v1/screenings/${this.place.dataset.screening}/reviews`);
    this.final = reviews.find((one) => one.final && !one.amended_by);
    // Whoever was second to sign goes on with his draft as an amendment of what was signed.
    const isMine = (one) => one.state === "draft" && one.content && !MARKING.includes(one.purpose);
    if (reviews.some(isMine)) return this.begin();
    this.buttons.begin.hidden = false;
    if (this.final) {
      this.signed = this.final.content ?? {};
      this.comment.value = this.signed.comment ?? "";
      this.buttons.begin.textContent = this.words.amend;
      const when = new Date(this.final.signed_at).toLocaleString(document.documentElement.lang);
      this.say(`${this.words.signed_by} ${this.final.reader}, ${when}`);
    }
    this.redraw();
  }

  async begin() {
    try {
      const body = this.final ? { amends: this.final.review_id } : {};
      await this.draft.begin(this.place.dataset.screening, body);
    } catch (error) {
      return this.say(error.message);
    }
    this.comment.value = this.draft.content.comment ?? "";
    this.comment.disabled = false;
    this.buttons.begin.hidden = true;
    this.buttons.save.hidden = this.buttons.sign.hidden = false;
    this.say(this.words.to_undecided);
    this.redraw();
  }

  async sign() {
    const open = this.cards().filter((card) => {
      const finding = this.findings[card.dataset.check];
      return finding && isPending(finding, this.boxOf(card).dataset.state);
    });
    if (open.length) {
      await this.draft.save();
      return this.say(`${this.words.to_undecided} (${open.map((one) => one.dataset.check).join(", ")})`);
    }
    this.buttons.sign.disabled = true;
    if (await this.draft.sign()) return location.reload();
    this.buttons.sign.disabled = false;
  }

  keys() {
    const onChosen = (act) => () => {
      const { chosen } = this.reader ?? {};
      if (!this.isDraft) return this.say(this.words.begin_first);
      if (this.view.lesions.includes(chosen)) act(chosen.check, chosen);
    };
    const toggle = (decision) => (check, { id }) => this.toggle(check, id, decision);
    return {
      a: onChosen(toggle("accepted")),
      d: onChosen(toggle("rejected")),
      c: onChosen((check, lesion) => this.correct(check, lesion)),
      k: () => this.isDraft ? this.add(this.current, true) : this.say(this.words.begin_first),
      Delete: () => {
        const { chosen } = this.reader ?? {};
        if (this.isDraft && String(chosen?.id).startsWith("+")) this.remove(chosen.check, Number(chosen.id) - 1);
      },
    };
  }
}

/** The box that the final report will have of a corrected lesion: a ball of its mean diameter. */
function ball({ centre_mm, long_diameter_mm, short_diameter_mm }) {
  const known = [long_diameter_mm, short_diameter_mm].filter((value) => value);
  const radius = known.reduce((sum, value) => sum + value, 0) / known.length / 2;
  return [-1, 1].map((sign) => centre_mm.map((value) => value + sign * radius));
}
