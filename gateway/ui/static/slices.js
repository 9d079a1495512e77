// Slices from the server: those in view first, then their neighbours, a bounded number kept.

const KEPT = 96; // of 512 × 512 they are 50 MB
const AT_ONCE = 3;
const RETRY_MILLISECONDS = 400;

export class Slices {
  /** `address(plane, index)` gives a path; `read(buffer)` what is kept; `arrived(plane, index)` is told. */
  constructor(address, read, arrived) {
    this.address = address;
    this.read = read;
    this.arrived = arrived;
    this.kept = new Map();
    this.wanted = [];
    this.running = new Set();
    this.failed = new Set();
  }

  /** Give a slice that is here, else undefined; null is an empty one. */
  get(plane, index) {
    const key = `${plane}/${index}`;
    const found = this.kept.get(key);
    if (found !== undefined) {
      this.kept.delete(key); // to the end: the least recently seen goes first
      this.kept.set(key, found);
    }
    return found;
  }

  /** Say which slices are wanted, the most wanted first; what was wanted before is forgotten. */
  want(places) {
    this.wanted = places;
    this.pump();
  }

  pump() {
    for (const [plane, index] of this.wanted) {
      if (this.running.size >= AT_ONCE) return;
      const key = `${plane}/${index}`;
      if (!this.kept.has(key) && !this.running.has(key) && !this.failed.has(key)) {
        this.load(plane, index, key);
      }
    }
  }

  async load(plane, index, key) {
    this.running.add(key);
    try {
      const answer = await fetch(this.address(plane, index));
      if (answer.status === 401) location.reload();
      if (answer.status === 429 || answer.status === 503) {
        await new Promise((resolve) => setTimeout(resolve, RETRY_MILLISECONDS));
      } else if (!answer.ok) {
        this.failed.add(key);
      } else {
        const buffer = answer.status === 204 ? null : await answer.arrayBuffer();
        this.kept.set(key, buffer && this.read(buffer, plane));
        while (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value);
        this.arrived(plane, index);
      }
    } catch {
      await new Promise((resolve) => setTimeout(resolve, RETRY_MILLISECONDS));
    } finally {
      this.running.delete(key);
      this.pump();
    }
  }
}

/** Turn labels into one path a label, along the edges between different ones, in pixels. */
export function outlines(labels, columns) {
  const rows = labels.length / columns;
  const paths = new Map();
  const line = (label, x1, y1, x2, y2) => {
    if (!label) return;
    if (!paths.has(label)) paths.set(label, new Path2D());
    const path = paths.get(label);
    path.moveTo(x1, y1);
    path.lineTo(x2, y2);
  };
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const here = labels[y * columns + x];
      const left = x ? labels[y * columns + x - 1] : 0;
      const above = y ? labels[(y - 1) * columns + x] : 0;
      if (here !== left) {
        line(here, x, y, x, y + 1);
        line(left, x, y, x, y + 1);
      }
      if (here !== above) {
        line(here, x, y, x + 1, y);
        line(above, x, y, x + 1, y);
      }
      if (here && x === columns - 1) line(here, columns, y, columns, y + 1);
      if (here && y === rows - 1) line(here, x, rows, x + 1, rows);
    }
  }
  return paths;
}
