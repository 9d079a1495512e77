// One plane: draws a slice, and takes wheel, mouse and touch.

import { drawOverlay } from "./overlay.js";

const WHEEL_PIXELS = 40; // of a smooth wheel or touchpad for one slice
const NEAR_PIXELS = 3; // a press that moved less is a click

export class Pane {
  /** `reader` has the state that panes share: point, window, layers, tool, lesions, distances. */
  constructor(figure, reader) {
    this.figure = figure;
    this.plane = figure.dataset.plane;
    this.canvas = figure.querySelector("canvas");
    this.place = figure.querySelector(".place");
    this.reader = reader;
    this.picture = document.createElement("canvas");
    this.drawn = null;
    this.zoom = 1;
    this.offset = [0, 0];
    this.wheel = 0;
    this.pointers = new Map();
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    this.listen();
  }

  get axes() {
    return this.reader.space.axes(this.plane);
  }

  get index() {
    return Math.round(this.reader.point[this.axes.across]);
  }

  reset() {
    this.zoom = 1;
    this.offset = [0, 0];
  }

  /** Give the layout: size of the canvas in CSS pixels, of a voxel, and where the picture begins. */
  layout() {
    const { shape, spacing } = this.reader.space;
    const { down, right } = this.axes;
    const width = this.canvas.clientWidth, height = this.canvas.clientHeight;
    const mm = [shape[right] * spacing[right], shape[down] * spacing[down]];
    const scale = Math.min(width / mm[0], height / mm[1]) * this.zoom;
    const size = [mm[0] * scale, mm[1] * scale];
    return {
      width, height, scale, size,
      x: (width - size[0]) / 2 + this.offset[0],
      y: (height - size[1]) / 2 + this.offset[1],
      step: [spacing[right] * scale, spacing[down] * scale],
    };
  }

  /** Voxel coordinates → CSS pixels; centres of voxels are whole numbers. */
  toPixels(voxel, at = this.layout()) {
    const { down, right, flipped } = this.axes;
    const row = flipped ? this.reader.space.shape[down] - 1 - voxel[down] : voxel[down];
    return [at.x + (voxel[right] + 0.5) * at.step[0], at.y + (row + 0.5) * at.step[1]];
  }

  toVoxel(event) {
    const at = this.layout(), bounds = this.canvas.getBoundingClientRect();
    const { across, down, right, flipped } = this.axes;
    const voxel = [...this.reader.point];
    voxel[right] = (event.clientX - bounds.left - at.x) / at.step[0] - 0.5;
    const row = (event.clientY - bounds.top - at.y) / at.step[1] - 0.5;
    voxel[down] = flipped ? this.reader.space.shape[down] - 1 - row : row;
    voxel[across] = this.index;
    return voxel;
  }

  draw() {
    const { reader, canvas } = this;
    if (!reader.space || !canvas.clientWidth) return;
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * ratio);
    const height = Math.round(canvas.clientHeight * ratio);
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    const at = this.layout();
    const here = reader.slices.get(this.plane, this.index);
    if (here) this.paint(here);
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    if (this.drawn) {
      context.save();
      if (this.axes.flipped) {
        context.translate(0, 2 * at.y + at.size[1]);
        context.scale(1, -1);
      }
      context.drawImage(this.picture, at.x, at.y, at.size[0], at.size[1]);
      context.restore();
    }
    drawOverlay(this, context, at);
    const count = reader.space.shape[this.axes.across];
    this.place.textContent = `${this.index + 1} / ${count}`;
    this.canvas.dataset.index = this.index;
    this.canvas.dataset.shown = here ? this.index : "";
  }

  /** Window a slice into the picture, unless it is there already. */
  paint(values) {
    const { shape } = this.reader.space;
    const { down, right } = this.axes;
    const mark = `${this.plane}/${this.index}/${this.reader.window}/${this.reader.key}`;
    if (this.drawn === mark) return;
    this.picture.width = shape[right];
    this.picture.height = shape[down];
    const context = this.picture.getContext("2d");
    const image = context.createImageData(shape[right], shape[down]);
    const pixels = new Uint32Array(image.data.buffer);
    const table = this.reader.table;
    for (let n = 0; n < values.length; n++) pixels[n] = table[values[n] + 32768];
    context.putImageData(image, 0, 0);
    this.drawn = mark;
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (event.ctrlKey) return this.zoomBy(Math.exp(-event.deltaY / 300), event);
      this.wheel += event.deltaMode ? Math.sign(event.deltaY) * WHEEL_PIXELS : event.deltaY;
      const whole = Math.abs(this.wheel) >= 100 && Math.abs(event.deltaY) >= 100
        ? Math.sign(this.wheel) // a notch of a wheel is one slice
        : Math.trunc(this.wheel / WHEEL_PIXELS);
      if (whole) {
        this.wheel = 0;
        this.reader.scroll(this, -whole);
      }
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => this.release(event));
    }
    canvas.addEventListener("focus", () => this.reader.focus(this));
    this.figure.addEventListener("dblclick", () => this.reader.enlarge(this));
  }

  zoomBy(factor, event) {
    const bounds = this.canvas.getBoundingClientRect();
    const from = [
      event.clientX - bounds.left - bounds.width / 2, event.clientY - bounds.top - bounds.height / 2,
    ];
    const zoom = Math.min(Math.max(this.zoom * factor, 1), 12);
    this.offset = this.offset.map((o, a) => from[a] - (from[a] - o) * (zoom / this.zoom));
    this.zoom = zoom;
    if (zoom === 1) this.offset = [0, 0];
    this.draw();
  }

  press(event) {
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event);
    const tool = event.button === 2 ? "window" : event.button === 1 || event.shiftKey ? "pan" : this.reader.tool;
    this.drag = { tool, start: event, last: event, moved: false, rest: 0 };
    if (tool === "measure" && this.pointers.size === 1) {
      const from = this.toVoxel(event);
      this.drag.distance = { plane: this.plane, index: this.index, from, to: from, mm: 0 };
    }
    event.preventDefault();
  }

  move(event) {
    if (!this.pointers.has(event.pointerId)) return this.reader.hover(this.toVoxel(event), this);
    const before = this.pointers.get(event.pointerId);
    this.pointers.set(event.pointerId, event);
    if (this.pointers.size === 2) return this.pinch(event, before);
    const { drag } = this;
    const dx = event.clientX - drag.last.clientX, dy = event.clientY - drag.last.clientY;
    const far = Math.hypot(event.clientX - drag.start.clientX, event.clientY - drag.start.clientY);
    drag.moved ||= far > NEAR_PIXELS;
    if (!drag.moved) return;
    drag.last = event;
    if (drag.tool === "window") this.reader.moveWindow(dx, dy);
    else if (drag.tool === "pan") {
      this.offset = [this.offset[0] + dx, this.offset[1] + dy];
      this.draw();
    } else if (drag.tool === "measure") {
      drag.distance.to = this.toVoxel(event);
      this.reader.measure(drag.distance);
    } else {
      const count = this.reader.space.shape[this.axes.across];
      drag.rest += (-dy / this.canvas.clientHeight) * Math.min(count, 200);
      const whole = Math.trunc(drag.rest);
      drag.rest -= whole;
      if (whole) this.reader.scroll(this, whole);
    }
  }

  pinch(event, before) {
    const other = [...this.pointers.values()].find((one) => one.pointerId !== event.pointerId);
    const far = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
    this.drag.moved = true;
    this.zoomBy(far(event) / far(before), event);
  }

  release(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    const { drag } = this;
    if (!drag.moved && event.type === "pointerup" && event.button === 0 && drag.tool !== "measure") {
      this.reader.goTo(this.toVoxel(event));
    }
  }
}
