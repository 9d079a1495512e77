// What both pages share: the session's token, keys, signing out, acknowledging.

const csrf = document.body.dataset.csrf ?? "";

export function tell(text) {
  const place = document.getElementById("told");
  if (place) place.textContent = text;
}

/** Ask the api; a session that has ended leads to the page where one signs in. */
export async function ask(method, path, body, options = {}) {
  const headers = { Accept: "application/json" };
  if (method !== "GET") headers["X-CSRF-Token"] = csrf;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, {
    ...options,
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (answer.status === 401) location.reload();
  const told = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw Object.assign(new Error(told.detail), { code: told.code, status: answer.status });
  return told;
}

export async function acknowledge(button, then) {
  button.disabled = true;
  try {
    await ask("POST", `/v1/critical/${button.dataset.acknowledge}/acknowledge`);
    then();
  } catch (error) {
    button.disabled = false;
    tell(error.message);
    button.title = error.message;
  }
}

/** Whether a key is meant for a field and not for the page. */
export function isTyping(event) {
  return event.ctrlKey || event.metaKey || event.altKey
    || event.target.closest("input, select, textarea, dialog") !== null;
}

export function showHelp() {
  document.getElementById("help").showModal();
}

document.getElementById("sign-out")?.addEventListener("click", async () => {
  await ask("POST", "/auth/logout");
  location.assign("/ui");
});

/** Follow the server's events; `changed` is called once for a burst of them. */
export function follow(path, changed, isWanted = () => true) {
  const state = document.getElementById("live-state");
  const on = state?.textContent;
  const source = new EventSource(path);
  let waiting = 0;
  const soon = (event) => {
    if (!isWanted(event)) return;
    clearTimeout(waiting);
    waiting = setTimeout(changed, 300);
  };
  for (const kind of ["accepted", "running", "released", "done", "failed", "cancelled", "signed"]) {
    source.addEventListener(kind, soon);
  }
  source.addEventListener("open", () => {
    state?.classList.remove("off");
    if (state) state.textContent = on;
  });
  source.addEventListener("error", () => {
    state?.classList.add("off");
    if (state) state.textContent = state.dataset.off;
  });
  return source;
}
