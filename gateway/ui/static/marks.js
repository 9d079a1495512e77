// Lesions that a reader marks without the findings, or before he sees them (docs/review.md).

import { ask, tell } from "./common.js";
import { Draft } from "./draft.js";
import { element, press, sizeField } from "./fields.js";

const SAME_MM = 1; // a mark so near to another of the same check is that one

export class Marks {
  constructor(place, reader, view) {
    this.place = place;
    this.reader = reader;
    this.view = view;
    this.words = JSON.parse(place.dataset.words);
    this.check = document.getElementById("mark-check");
    this.list = document.getElementById("mark-list");
    this.state = document.getElementById("mark-state");
    this.comment = document.getElementById("mark-comment");
    this.draft = new Draft(this.words, (text) => this.say(text));
    this.isReady = false;
    this.beginning = null;
    const on = (id, act) => document.getElementById(id)?.addEventListener("click", act);
    on("mark-add", () => this.add());
    on("mark-save", () => this.begun(() => this.draft.save()));
    on("mark-sign", () => this.sign());
    on("mark-sign-next", () => this.sign(true));
    this.comment.addEventListener("input", () => this.change((content) => {
      content.comment = this.comment.value;
    }));
  }

  get marks() {
    return this.draft.content?.marks ?? [];
  }

  say(text) {
    this.state.textContent = text;
  }

  /** Find the draft; until then nothing can be pressed. */
  async look() {
    const { review } = this.place.dataset;
    if (review) this.draft.take(await ask("GET", `/v1/reviews/${review}`));
    this.comment.value = this.draft.content?.comment ?? "";
    this.redraw();
    this.isReady = true;
    for (const one of this.place.querySelectorAll(":disabled")) one.disabled = false;
  }

  /** Do something with the draft, which the first mark begins. */
  async begun(act) {
    if (!this.isReady) return false;
    try {
      if (!this.draft.review) await (this.beginning ??= this.draft.begin(this.place.dataset.screening));
    } catch (error) {
      this.beginning = null;
      this.say(error.message);
      return false;
    }
    return act();
  }

  change(act) {
    return this.begun(() => {
      act(this.draft.content);
      this.draft.changed();
      this.redraw();
    });
  }

  async add(byKey = false) {
    if (!this.reader || !this.isReady) return;
    const { point, space } = this.reader, check = this.check.value;
    const centre_mm = space.toMm(point).map((value) => Math.round(value * 100) / 100);
    const near = this.marks.findIndex((one) => one.check === check
      && Math.hypot(...one.centre_mm.map((value, a) => value - centre_mm[a])) < SAME_MM);
    if (near >= 0) return this.show(near);
    const size = this.reader.takeSize();
    const before = this.marks.length;
    await this.change((content) => {
      content.marks = [...(content.marks ?? []), { check, centre_mm, ...(size ? { diameter_mm: size } : {}) }];
    });
    if (this.marks.length === before) return; // the draft was not begun, and the page says why
    const index = this.marks.length - 1;
    this.show(index);
    tell(`${this.words.marked}: ${this.name(index)}`);
    if (byKey && !size) this.list.children[index]?.querySelector("input")?.focus();
  }

  remove(index) {
    this.reader?.choose(null);
    this.change((content) => content.marks.splice(index, 1));
    document.getElementById("mark-add").focus({ preventScroll: true });
  }

  show(index) {
    const found = this.reader?.own[index];
    if (found) this.reader.jump(found);
  }

  title(check) {
    return [...this.check.options].find((one) => one.value === check)?.textContent ?? check;
  }

  name(index) {
    return `${index + 1} ${this.title(this.marks[index].check)}`;
  }

  redraw() {
    this.list.replaceChildren(...this.marks.map((mark, index) => this.row(mark, index)));
    this.list.nextElementSibling.hidden = this.marks.length > 0;
    this.drawOnSlices();
  }

  row(mark, index) {
    const { words } = this, name = this.name(index);
    const go = press("", () => this.show(index), { className: "lesion own" });
    go.dataset.lesion = `mark/${index + 1}`;
    go.append(
      element("span", { className: "number", textContent: index + 1 }),
      element("span", { className: "label", textContent: this.title(mark.check) }),
      element("span", { className: "numbers", textContent: this.slice(mark) }));
    const size = sizeField(words.diameter, `${words.diameter}, mm: ${name}`, mark.diameter_mm, (value) =>
      this.change(() => {
        if (value === null) delete mark.diameter_mm;
        else mark.diameter_mm = value;
      }));
    return element("li", {}, go,
      element("span", { className: "verdict" },
        press("✕", () => this.remove(index), { name: `${words.remove}: ${name}`, className: "remove" })),
      element("div", { className: "fields" }, size));
  }

  slice(mark) {
    if (!this.reader) return "";
    return `${this.words.slice} ${Math.round(this.reader.space.toVoxel(mark.centre_mm)[0]) + 1}`;
  }

  drawOnSlices() {
    this.reader?.showOwn(this.marks.map((mark, index) => ({
      check: "mark", id: index + 1, name: `${index + 1}`, label: this.name(index),
      centre_mm: mark.centre_mm, mm: mark.diameter_mm ?? null,
    })));
  }

  async sign(next = false) {
    const buttons = this.place.querySelectorAll(".strong");
    for (const one of buttons) one.disabled = true;
    if (await this.begun(() => this.draft.sign())) return this.onward(next);
    for (const one of buttons) one.disabled = false;
  }

  /** Where one goes after signing: to the next case, to the list of them, or to the comparison. */
  async onward(next) {
    const { study } = this.place.dataset;
    if (!study) return location.reload();
    let onward = "/ui/reader-studies";
    if (next) {
      const told = await ask("POST", `/v1/reader-studies/${study}/next`).catch(() => null);
      if (told?.review) onward = `/ui/screenings/${told.review.screening_id}`;
    }
    location.assign(onward);
  }

  keys() {
    return {
      k: () => void this.add(true),
      Delete: () => {
        const { chosen, own } = this.reader ?? {};
        if (own?.includes(chosen)) this.remove(chosen.id - 1);
      },
    };
  }
}
