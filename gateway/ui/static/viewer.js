// The study page: what the panes share, the toolbar, lesions, keys.

import { acknowledge, follow, isTyping, showHelp, tell } from "./common.js";
import { Pane } from "./pane.js";
import { Slices, outlines } from "./slices.js";
import { PLANES, Space } from "./space.js";

const AHEAD = 10; // slices fetched in the direction of scrolling, and half as many behind
const view = JSON.parse(document.getElementById("study").dataset.view);
const readout = document.getElementById("readout");

class Reader {
  constructor() {
    this.tool = "scroll";
    this.layers = { boxes: true, outlines: true };
    this.distances = [];
    this.masks = [];
    this.lesions = [];
    this.chosen = null;
    this.forward = 1;
    this.preset = "soft";
    this.panes = [...document.querySelectorAll(".pane")].map((one) => new Pane(one, this));
    this.active = this.panes[0];
    this.due = false;
  }

  /** Show a volume; its middle first, or a lesion. */
  open(key, lesion = null) {
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
    this.setWindow(...view.presets[this.preset], this.preset);
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

  jump(lesion) {
    this.chosen = lesion;
    for (const button of document.querySelectorAll("[data-lesion]")) {
      const here = button.dataset.lesion === `${lesion.check}/${lesion.id}`;
      button.toggleAttribute("aria-current", false);
      if (here) {
        button.setAttribute("aria-current", "true");
        button.scrollIntoView({ block: "nearest" });
      }
    }
    if (!sameSeries(this.volume, lesion.series)) return this.open(lesion.series, lesion);
    this.setWindow(...view.presets[lesion.preset], lesion.preset);
    this.goTo(this.space.toVoxel(lesion.centre_mm));
    tell(lesion.label);
  }

  step(by) {
    if (!view.lesions.length) return;
    const at = view.lesions.indexOf(this.chosen);
    const next = at < 0 ? (by > 0 ? 0 : -1) : at + by;
    this.jump(view.lesions.at(next % view.lesions.length));
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
    this.setWindow(...view.presets[this.preset], this.preset);
  }
}

function sameSeries(volume, key) {
  return [volume.key, volume.series_instance_uid, `${volume.series_instance_uid}#${volume.part}`].includes(key);
}

const names = Object.keys(view.presets);
const reader = view.volumes.length ? new Reader() : null;
if (reader) {
  const first = view.lesions.find((one) => one.flagged) ?? view.lesions[0];
  reader.open(first?.series ?? view.first, first);
  document.getElementById("series").addEventListener("change", (event) => reader.open(event.target.value));
  document.querySelector(".tools").addEventListener("click", ({ target }) => {
    const { preset, tool, layer } = target.dataset;
    if (preset) reader.setWindow(...view.presets[preset], preset);
    if (tool) reader.setTool(tool);
    if (layer) reader.toggle(layer);
    if (target.id === "reset") reader.reset();
    if (target.id === "keys") showHelp();
  });
}

document.querySelector("aside").addEventListener("click", (event) => {
  const button = event.target.closest("[data-acknowledge]");
  if (button) return void acknowledge(button, () => location.reload());
  const lesion = event.target.closest("[data-lesion]")?.dataset.lesion;
  const found = view.lesions.find((one) => `${one.check}/${one.id}` === lesion);
  if (found && reader) reader.jump(found);
});

document.addEventListener("keydown", (event) => {
  if (isTyping(event)) return;
  const scroll = (by) => () => reader?.scroll(reader.active, by);
  const isOnList = event.target.closest("aside") !== null;
  const keys = {
    u: () => location.assign("/ui"),
    "?": showHelp,
    s: () => reader?.setTool("scroll"),
    w: () => reader?.setTool("window"),
    m: () => reader?.setTool("measure"),
    b: () => reader?.toggle("boxes"),
    o: () => reader?.toggle("outlines"),
    n: () => reader?.step(1),
    p: () => reader?.step(-1),
    r: () => reader?.reset(),
    Backspace: () => {
      reader?.distances.pop();
      reader?.redraw();
    },
    x: () => {
      const order = Object.keys(PLANES);
      const large = reader?.panes.find((one) => one.figure.classList.contains("large"));
      const next = order[(order.indexOf(large?.plane) + 1) % order.length];
      reader?.enlarge(reader.panes.find((one) => one.plane === next));
    },
    ...(isOnList ? {} : {
      ArrowUp: scroll(1), ArrowDown: scroll(-1), PageUp: scroll(10), PageDown: scroll(-10),
      Home: scroll(100000), End: scroll(-100000),
    }),
  };
  names.forEach((name, place) => {
    keys[String(place + 1)] = () => reader?.setWindow(...view.presets[name], name);
  });
  if (event.key in keys) {
    keys[event.key]();
    event.preventDefault();
  }
});

// A result that comes while the page is open is fetched with it; the place in the volume stays.
if (!view.final) {
  const stream = follow(`/v1/screenings/${view.screening}/events`, async () => {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("checks");
    document.getElementById("checks").replaceWith(fresh);
    const now = JSON.parse(page.getElementById("study").dataset.view);
    const point = reader?.point;
    Object.assign(view, { lesions: now.lesions, masks: now.masks, final: now.final });
    if (reader) {
      reader.open(reader.key);
      reader.goTo(point);
    }
    if (view.final) {
      stream.close();
      location.reload(); // with chips, notes and the review's place
    }
  });
}
