// Reader studies: the next case, which starts its clock.

import { ask, isTyping, showHelp, tell } from "./common.js";

async function next(button) {
  button.disabled = true;
  try {
    const told = await ask("POST", `/v1/reader-studies/${button.dataset.next}/next`);
    if (told.review) return location.assign(`/ui/screenings/${told.review.screening_id}`);
    location.reload();
  } catch (error) {
    button.disabled = false;
    button.title = error.message;
    tell(error.message);
  }
}

document.querySelector("main").addEventListener("click", (event) => {
  const button = event.target.closest("[data-next]");
  if (button) next(button);
});

document.addEventListener("keydown", (event) => {
  if (isTyping(event)) return;
  const keys = {
    n: () => document.querySelector("[data-next]:not(:disabled)")?.click(),
    u: () => location.assign("/ui"),
    "?": showHelp,
  };
  if (event.key in keys) {
    keys[event.key]();
    event.preventDefault();
  }
});
