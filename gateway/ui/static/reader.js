// What the panes of a study share: volume, point, window, tool, lesions, distances.

import { tell } from "./common.js";
import { Pane } from "./pane.js";
import { Slices, outlines } from "./slices.js";
import { Space } from "./space.js";

const AHEAD = 10; // slices fetched in the direction of scrolling, and half as many behind
const readout = document.getElementById("readout");

export class Reader {
  /** `view` is what the server says of the study: volumes, lesions, masks, presets. */
  constructor(view) {
    this.view = view;
    this.tool = "scroll";
    this.layers = { boxes: true, outlines: true };
    this.distances = [];
    this.masks = [];
    this.lesions = [];
    this.own = []; // what the reader marked or added himself
    this.chosen = null;
    this.onChosen = () => {};
    this.forward = 1;
    this.preset = "soft";
    this.panes = [...document.querySelectorAll(".pane")].map((one) => new Pane(one, this));
    this.active = this.panes[0];
    this.due = false;
  }

  /** Show a volume; its middle first, or a lesion. */
  open(key, lesion = null) {
    const { view } = this;
    const volume = view.volumes.find((one) => sameSeries(one, key)) ?? view.volumes[0];
    this.volume = volume;
    this.key = volume.key;
    this.space = new Space(volume);
    this.point = volume.shape.map((n) => (n - 1) / 2 | 0);
    this.distances = [];
    const at = (plane) => {
      const { down, right } = this.space.axes(plane);
      return volume.shape[down] * volume.shape[right];
    };
    const series = `${encodeURIComponent(volume.series_instance_uid)}/${volume.part}`;
    this.slices = new Slices(
      (plane, index) => `/v1/studies/${view.study}/volumes/${series}/${plane}/${index}`,
      (buffer, plane) => new Int16Array(buffer, 0, at(plane)),
      (plane, index) => this.arrived(plane, index),
    );
    this.lesions = view.lesions.filter((one) => sameSeries(volume, one.series))
      .map((one) => Object.assign(one, { voxels: one.box_mm && this.space.boxToVoxels(one.box_mm) }));
    this.masks = view.masks.filter((one) => sameSeries(volume, one.series)).map((one) => ({
      slices: new Slices(
        (plane, index) => `/v1/screenings/${view.screening}/masks/${one.check}/${plane}/${index}`,
        (buffer, plane) => outlines(new Uint8Array(buffer), volume.shape[this.space.axes(plane).right]),
        () => this.redraw(),
      ),
      lesions: new Map(this.lesions.filter((l) => l.check === one.check).map((l) => [l.mask_value, l])),
    }));
    for (const pane of this.panes) {
      pane.reset();
      pane.drawn = null;
    }
    document.querySelector(".panes").classList.toggle("flat", volume.shape[0] === 1);
    document.getElementById("series").value = volume.key;
    this.setWindow(...this.view.presets[this.preset], this.preset);
    if (lesion) this.jump(lesion);
    this.request();
    this.redraw();
  }

  arrived(plane, index) {
    if (this.volume.is_image && !this.fitted) this.fit(this.slices.get(plane, index));
    if (!performance.getEntriesByName("first-picture").length) {
      requestAnimationFrame(() => {
        performance.mark("first-picture");
        document.body.dataset.firstPicture = Math.round(performance.now());
      });
    }
    this.redraw();
  }

  /** Window a radiograph by what is in it. */
  fit(values) {
    let low = Infinity, high = -Infinity;
    for (let n = 0; n < values.length; n += 7) {
      low = Math.min(low, values[n]);
      high = Math.max(high, values[n]);
    }
    this.fitted = true;
    this.setWindow((low + high) / 2, Math.max(high - low, 1), "");
  }

  redraw() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      for (const pane of this.panes) pane.draw();
    });
  }

  /** Ask for the slices in view, the active plane first, then its neighbours. */
  request() {
    const others = this.panes.filter((pane) => pane !== this.active && !this.isFlat());
    const places = [this.active, ...others].map((pane) => [pane.plane, pane.index]);
    const { across } = this.active.axes, count = this.volume.shape[across];
    for (let n = 1; n <= AHEAD; n++) {
      const near = [this.active.index + n * this.forward];
      if (n <= AHEAD / 2) near.push(this.active.index - n * this.forward);
      for (const index of near) if (index >= 0 && index < count) places.push([this.active.plane, index]);
    }
    this.slices.want(places);
    for (const mask of this.masks) mask.slices.want(places.slice(0, 8));
  }

  isFlat() {
    return this.volume.shape[0] === 1;
  }

  goTo(voxel) {
    this.point = voxel.map((value, a) => Math.min(Math.max(Math.round(value), 0), this.volume.shape[a] - 1));
    this.request();
    this.redraw();
  }

  scroll(pane, by) {
    this.active = pane;
    this.forward = Math.sign(by) || 1;
    const point = [...this.point];
    point[pane.axes.across] += by;
    this.goTo(point);
  }

  focus(pane) {
    this.active = pane;
  }

  enlarge(pane) {
    if (this.isFlat()) return;
    for (const one of this.panes) one.figure.classList.toggle("large", one === pane);
    this.active = pane;
    this.request();
    this.redraw();
  }

  /** Go to a lesion, or to a mark of the reader's own. */
  jump(lesion) {
    this.choose(lesion);
    if (lesion.series && !sameSeries(this.volume, lesion.series)) return this.open(lesion.series, lesion);
    if (lesion.preset) this.setWindow(...this.view.presets[lesion.preset], lesion.preset);
    this.goTo(this.space.toVoxel(lesion.centre_mm));
    tell(lesion.label);
  }

  choose(lesion, { scroll = true } = {}) {
    this.chosen = lesion;
    const isFocused = lesion && document.activeElement?.dataset?.lesion === keyOf(lesion);
    for (const button of document.querySelectorAll("[data-lesion]")) {
      const here = lesion && button.dataset.lesion === keyOf(lesion);
      button.toggleAttribute("aria-current", false);
      if (here) {
        button.setAttribute("aria-current", "true");
        if (scroll && !isFocused) button.scrollIntoView({ block: "nearest" });
      }
    }
    if (lesion) this.onChosen(lesion);
    this.redraw();
  }

  step(by) {
    const all = [...this.view.lesions, ...this.own];
    if (!all.length) return;
    const at = all.indexOf(this.chosen);
    const next = at < 0 ? (by > 0 ? 0 : -1) : at + by;
    this.jump(all.at(next % all.length));
  }

  /** Show what the reader marked himself; what was chosen stays so where it is still there. */
  showOwn(marks) {
    const chosen = this.chosen && keyOf(this.chosen);
    const was = this.own.includes(this.chosen);
    this.own = marks;
    const again = was ? marks.find((one) => keyOf(one) === chosen) ?? null : this.chosen;
    this.choose(again, { scroll: false });
  }

  /** Take the last distance as the size of what is at the crosshair, once; null where it is elsewhere. */
  takeSize() {
    const last = this.distances.at(-1);
    if (!last || last.taken) return null;
    const away = this.point.map((v, a) => ((last.from[a] + last.to[a]) / 2 - v) * this.space.spacing[a]);
    if (Math.hypot(...away) > last.mm) return null;
    last.taken = true;
    return Math.round(last.mm * 10) / 10;
  }

  setWindow(center, width, preset = "") {
    this.window = [center, Math.max(width, 1)];
    if (preset) this.preset = preset;
    for (const button of document.querySelectorAll("[data-preset]")) {
      button.setAttribute("aria-pressed", String(button.dataset.preset === preset));
    }
    const table = (this.table ??= new Uint32Array(65536));
    const low = center - 0.5 - (this.window[1] - 1) / 2; // PS3.3 C.11.2.1.2, LINEAR
    for (let n = 0; n < 65536; n++) {
      const shown = Math.min(Math.max(((n - 32768 - low) / Math.max(this.window[1] - 1, 1e-6)) * 255, 0), 255) | 0;
      table[n] = 0xff000000 | (shown << 16) | (shown << 8) | shown;
    }
    this.showReadout();
    this.redraw();
  }

  moveWindow(dx, dy) {
    const [center, width] = this.window;
    this.setWindow(center + dy * Math.max(width / 400, 0.5), width + dx * Math.max(width / 300, 0.5));
  }

  measure(distance) {
    const { spacing } = this.space;
    distance.mm = Math.hypot(...distance.from.map((v, a) => (distance.to[a] - v) * spacing[a]));
    if (!this.distances.includes(distance)) this.distances.push(distance);
    readout.dataset.mm = distance.mm.toFixed(1);
    tell(`${distance.mm.toFixed(1)} mm`);
    this.redraw();
  }

  hover(voxel, pane) {
    const { down, right } = pane.axes;
    const whole = voxel.map(Math.round);
    const inside = whole.every((value, a) => value >= 0 && value < this.volume.shape[a]);
    const values = this.slices.get(pane.plane, pane.index);
    this.value = inside && values ? values[whole[down] * this.volume.shape[right] + whole[right]] : null;
    this.showReadout();
  }

  showReadout() {
    const [center, width] = this.window.map(Math.round);
    const unit = this.volume.is_image ? "" : " HU";
    const value = this.value === null || this.value === undefined ? "" : ` · ${this.value}${unit}`;
    readout.textContent = `C ${center} W ${width}${value}`;
  }

  setTool(name) {
    this.tool = name;
    for (const button of document.querySelectorAll("[data-tool]")) {
      button.setAttribute("aria-pressed", String(button.dataset.tool === name));
    }
  }

  toggle(layer) {
    this.layers[layer] = !this.layers[layer];
    const button = document.querySelector(`[data-layer="${layer}"]`);
    button.setAttribute("aria-pressed", String(this.layers[layer]));
    this.redraw();
  }

  reset() {
    this.distances = [];
    for (const pane of this.panes) pane.reset();
    this.setWindow(...this.view.presets[this.preset], this.preset);
  }
}

/** Name a lesion as its button does. */
export function keyOf(lesion) {
  return `${lesion.check}/${lesion.id}`;
}

function sameSeries(volume, key) {
  return [volume.key, volume.series_instance_uid, `${volume.series_instance_uid}#${volume.part}`].includes(key);
}
