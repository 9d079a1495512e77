// What lies on a slice: outlines, crosshair, lesions, the reader's own marks, distances, sides.

const COLOURS = {
  flagged: "#ff8080", marked: "#e8cd5f", healthy: "#58b7a6", chosen: "#8fc1ff", own: "#d2aaff",
  hit: "#86cfa0", struck: "#a3adb8", distance: "#7fe3c0", sides: "#aab7c4",
};
const POINT_PIXELS = 9; // half of the cross of a mark without a size
const NEAR_SLICES = 1; // a mark without a size is seen on its neighbours too

export function drawOverlay(pane, context, at) {
  const { layers } = pane.reader;
  if (layers.outlines) drawMasks(pane, context, at);
  drawCross(pane, context, at);
  if (layers.boxes) {
    context.font = "600 12px system-ui, sans-serif";
    for (const lesion of pane.reader.lesions) drawBox(pane, context, at, lesion);
    for (const mark of pane.reader.own) drawMark(pane, context, at, mark);
  }
  drawDistances(pane, context, at);
  drawSides(pane, context, at);
}

function drawMasks(pane, context, at) {
  const scale = Math.sqrt(at.step[0] * at.step[1]);
  for (const mask of pane.reader.masks) {
    const paths = mask.slices.get(pane.plane, pane.index);
    if (!paths) continue;
    context.save();
    context.translate(at.x, at.y);
    if (pane.axes.flipped) {
      context.translate(0, at.size[1]);
      context.scale(1, -1);
    }
    context.scale(...at.step);
    context.lineWidth = 1.4 / scale;
    for (const [label, path] of paths) {
      const lesion = mask.lesions.get(label);
      context.setLineDash(lesion?.judged === "rejected" ? [1.5 / scale, 3 / scale] : []);
      context.strokeStyle = lesion ? colourOf(lesion) : COLOURS.healthy;
      context.stroke(path);
    }
    context.restore();
  }
}

function drawCross(pane, context, at) {
  const [x, y] = pane.toPixels(pane.reader.point, at).map(Math.round);
  context.strokeStyle = "rgba(143, 193, 255, .38)";
  context.lineWidth = 1;
  const gap = 14;
  context.beginPath();
  for (const [x1, y1, x2, y2] of [
    [0, y, x - gap, y], [x + gap, y, at.width, y], [x, 0, x, y - gap], [x, y + gap, x, at.height],
  ]) {
    context.moveTo(x1 + 0.5, y1 + 0.5);
    context.lineTo(x2 + 0.5, y2 + 0.5);
  }
  context.stroke();
}

/** A lesion's box; dashed, struck where the reader rejected it, solid where he chose it. */
function drawBox(pane, context, at, lesion) {
  const box = lesion.corrected_mm ? pane.reader.space.boxToVoxels(lesion.corrected_mm) : lesion.voxels;
  if (!box) return;
  const [low, high] = box, { across } = pane.axes;
  if (pane.index < Math.floor(low[across]) || pane.index > Math.ceil(high[across])) return;
  const a = pane.toPixels(low, at), b = pane.toPixels(high, at), pad = 4;
  const x = Math.min(a[0], b[0]) - pad, y = Math.min(a[1], b[1]) - pad;
  const w = Math.abs(a[0] - b[0]) + 2 * pad, h = Math.abs(a[1] - b[1]) + 2 * pad;
  const chosen = lesion === pane.reader.chosen, struck = lesion.judged === "rejected";
  const colour = struck || !chosen ? colourOf(lesion) : COLOURS.chosen;
  context.strokeStyle = colour;
  context.lineWidth = chosen ? 2 : 1.2;
  context.setLineDash(struck ? [1.5, 4] : chosen ? [] : [5, 3]);
  context.strokeRect(x, y, w, h);
  context.setLineDash([]);
  const note = { accepted: " ✓", corrected: " ✎", missed: " ✕" }[lesion.judged] ?? "";
  write(context, `${lesion.check} ${lesion.id}${note}`, x, y - 4, colour);
  if (!struck) return;
  const width = context.measureText(`${lesion.check} ${lesion.id}`).width;
  context.fillStyle = colour;
  context.fillRect(x, y - 9, width, 1.5);
}

/** A mark of the reader's own: the ball of its diameter, or a cross where it has none. */
function drawMark(pane, context, at, mark) {
  const { space, chosen } = pane.reader, { across } = pane.axes;
  const voxel = space.toVoxel(mark.centre_mm);
  const away = Math.abs(voxel[across] - pane.index);
  const away_mm = away * space.spacing[across], radius = (mark.mm ?? 0) / 2;
  if (away_mm > radius && away > NEAR_SLICES) return;
  const [x, y] = pane.toPixels(voxel, at);
  const here = Math.sqrt(Math.max(radius ** 2 - away_mm ** 2, 0)) * at.scale;
  const colour = COLOURS[mark.outcome] ?? COLOURS.own;
  context.strokeStyle = colour;
  context.lineWidth = mark === chosen ? 2.4 : 1.6;
  context.setLineDash(mark.outcome === "struck" ? [1.5, 4] : []);
  context.beginPath();
  const size = here > 3 ? 4 : POINT_PIXELS;
  for (const [dx, dy] of [[size, 0], [0, size]]) {
    context.moveTo(x - dx, y - dy);
    context.lineTo(x + dx, y + dy);
  }
  if (here > 3) {
    context.moveTo(x + here, y);
    context.arc(x, y, here, 0, 2 * Math.PI);
  }
  context.stroke();
  context.setLineDash([]);
  const beside = Math.max(here, POINT_PIXELS) * Math.SQRT1_2 + 3;
  write(context, mark.name, x + beside, y + beside + 8, colour);
}

function drawDistances(pane, context, at) {
  context.font = "12px system-ui, sans-serif";
  for (const one of pane.reader.distances) {
    if (one.plane !== pane.plane || one.index !== pane.index) continue;
    const a = pane.toPixels(one.from, at), b = pane.toPixels(one.to, at);
    context.strokeStyle = context.fillStyle = COLOURS.distance;
    context.lineWidth = 1.6;
    context.beginPath();
    context.moveTo(...a);
    context.lineTo(...b);
    context.stroke();
    for (const [x, y] of [a, b]) context.fillRect(x - 2, y - 2, 4, 4);
    write(context, `${one.mm.toFixed(1)} mm`, b[0] + 7, b[1] - 5, COLOURS.distance);
  }
}

function drawSides(pane, context, at) {
  if (pane.reader.volume.is_image) return;
  const [left, right, top, bottom] = {
    axial: ["R", "L", "A", "P"], coronal: ["R", "L", "H", "F"], sagittal: ["A", "P", "H", "F"],
  }[pane.plane];
  context.font = "600 12px system-ui, sans-serif";
  context.textAlign = "center";
  for (const [letter, x, y] of [
    [left, 10, at.height / 2 - 8], [right, at.width - 10, at.height / 2 - 8],
    [top, at.width / 2 - 12, 16], [bottom, at.width / 2 - 12, at.height - 7],
  ]) write(context, letter, x, y, COLOURS.sides);
  context.textAlign = "start";
}

function colourOf(lesion) {
  if (lesion.judged === "rejected") return COLOURS.struck;
  if (lesion.judged === "corrected") return COLOURS.own;
  return lesion.flagged ? COLOURS.flagged : COLOURS.marked;
}

function write(context, text, x, y, colour) {
  context.lineWidth = 3;
  context.strokeStyle = "#000";
  context.strokeText(text, x, y);
  context.fillStyle = colour;
  context.fillText(text, x, y);
}
