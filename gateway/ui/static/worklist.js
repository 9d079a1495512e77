// The reading list: keys, filters, live rows.

import { acknowledge, follow, isTyping, showHelp } from "./common.js";

const REFRESH_MILLISECONDS = 20_000; // ages and escalations move without an event

const live = document.getElementById("live");
const form = document.querySelector("form.filters");
let chosen = "";

const rows = () => [...live.querySelectorAll("tr[data-href]")];

function choose(row, scroll = true) {
  for (const one of rows()) one.removeAttribute("aria-current");
  if (!row) return;
  chosen = row.dataset.key;
  row.setAttribute("aria-current", "true");
  if (scroll) row.scrollIntoView({ block: "nearest" });
}

function step(by) {
  const all = rows();
  if (!all.length) return;
  const at = all.findIndex((row) => row.dataset.key === chosen);
  choose(all[Math.min(Math.max(at + by, 0), all.length - 1)]);
}

async function refresh() {
  const address = new URL(location.href);
  address.searchParams.set("fragment", "1");
  try {
    const answer = await fetch(address, { headers: { Accept: "text/html" } });
    if (answer.status === 401) location.reload();
    if (!answer.ok) return;
    const text = await answer.text(); // escaped by the server, and no script runs from it
    const focused = document.activeElement?.dataset?.acknowledge;
    live.innerHTML = text;
    choose(rows().find((row) => row.dataset.key === chosen), false);
    if (focused) live.querySelector(`[data-acknowledge="${CSS.escape(focused)}"]`)?.focus();
  } catch {
    // the server is away; the stream says when it is back
  }
}

live.addEventListener("click", (event) => {
  const button = event.target.closest("[data-acknowledge]");
  if (button) return void acknowledge(button, refresh);
  const row = event.target.closest("tr[data-href]");
  if (row && !event.target.closest("a")) location.assign(row.dataset.href);
});

form.addEventListener("change", () => form.requestSubmit());
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const given = [...new FormData(form)].filter(([, value]) => value !== "");
  location.assign(`/ui${given.length ? "?" : ""}${new URLSearchParams(given)}`);
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && event.target.closest("input")) return event.target.blur();
  if (isTyping(event)) return;
  const keys = {
    j: () => step(1),
    k: () => step(-1),
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    Enter: () => {
      const row = rows().find((one) => one.dataset.key === chosen);
      if (row && !event.target.closest("a, button")) location.assign(row.dataset.href);
      else return false;
    },
    "/": () => form.elements.patient.focus(),
    a: () => live.querySelector("[data-acknowledge]:not(:disabled)")?.click(),
    "?": showHelp,
  };
  if (event.key in keys && keys[event.key]() !== false) event.preventDefault();
});

follow("/v1/events", refresh);
setInterval(() => document.hidden || refresh(), REFRESH_MILLISECONDS);
