// The study page: its slices with toolbar and keys, and what the reader does beside them.

import { acknowledge, follow, isTyping, showHelp } from "./common.js";
import { Marks } from "./marks.js";
import { keyOf, Reader } from "./reader.js";
import { Desk } from "./review.js";
import { PLANES } from "./space.js";

const view = JSON.parse(document.getElementById("study").dataset.view);
const names = Object.keys(view.presets);
const reader = view.volumes.length ? new Reader(view) : null;
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

const desk = deskOf("review", Desk) ?? deskOf("marks", Marks);
desk?.look().catch((error) => desk.say(error.message));
if (!desk) reader?.showOwn(view.marks);

function deskOf(id, Kind) {
  const place = document.getElementById(id);
  return place && new Kind(place, reader, view);
}

document.querySelector("aside").addEventListener("click", (event) => {
  const button = event.target.closest("[data-acknowledge]");
  if (button) return void acknowledge(button, () => location.reload());
  const lesion = event.target.closest("[data-lesion]")?.dataset.lesion;
  const found = [...view.lesions, ...view.marks].find((one) => keyOf(one) === lesion);
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
    ...desk?.keys(),
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
    const point = reader?.point, chosen = reader?.chosen && keyOf(reader.chosen);
    Object.assign(view, { lesions: now.lesions, masks: now.masks, final: now.final });
    if (reader) {
      reader.open(reader.key);
      reader.goTo(point);
    }
    desk?.redraw();
    reader?.choose([...view.lesions, ...reader.own].find((one) => keyOf(one) === chosen) ?? null);
    if (view.final) {
      stream.close();
      if (desk?.draft.isChanged) await desk.draft.save();
      location.reload(); // with chips, notes and the review's place
    }
  });
}
