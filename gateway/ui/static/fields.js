// Elements that scripts make: buttons, and fields for a size, a kind, a comment.

export const MOST_MM = 999;

export function element(name, properties = {}, ...children) {
  const { data, aria, ...rest } = properties;
  const made = Object.assign(document.createElement(name), rest);
  Object.assign(made.dataset, data);
  for (const [key, value] of Object.entries(aria ?? {})) made.setAttribute(`aria-${key}`, value);
  made.append(...children.filter((one) => one !== null));
  return made;
}

export function press(label, act, { pressed, name, ...rest } = {}) {
  const aria = { ...(pressed === undefined ? {} : { pressed: String(pressed) }), ...(name ? { label: name } : {}) };
  const button = element("button", { type: "button", textContent: label, title: name ?? "", aria, ...rest });
  button.addEventListener("click", act);
  return button;
}

/** A length in mm; `take` gets a number with one decimal, or null. */
export function sizeField(label, name, value, take) {
  const input = element("input", {
    inputMode: "decimal", maxLength: 6, value: value ?? "", aria: { label: name },
  });
  // No field of numbers: a wheel over one would change it unseen.
  input.addEventListener("change", () => {
    const text = input.value.trim().replace(",", ".");
    const read = Math.round((/^\d+(\.\d*)?$/.test(text) ? Number(text) : 0) * 10) / 10;
    const size = read > 0 && read <= MOST_MM ? read : null;
    input.value = size ?? "";
    take(size);
  });
  return element("label", { className: "size" }, element("span", { textContent: label }), leave(input), " mm");
}

/** A choice of `options`, pairs of code and word; `take` gets the code, or null. */
export function kindField(label, name, value, options, take) {
  if (!options.length) return null;
  const known = options.some(([code]) => code === value) || !value ? options : [[value, value], ...options];
  const select = element("select", { aria: { label: name } },
    element("option", { value: "", textContent: label }),
    ...known.map(([code, word]) => element("option", { value: code, textContent: word, selected: code === value })));
  select.addEventListener("change", () => take(select.value || null));
  return leave(select);
}

export function commentField(label, name, value, take) {
  const input = element("input", {
    placeholder: label, maxLength: 10000, value: value ?? "", dir: "auto", aria: { label: name },
  });
  input.addEventListener("input", () => take(input.value));
  return leave(input);
}

/** Enter and Escape lead from a field back to the slices. */
function leave(field) {
  field.addEventListener("keydown", (event) => {
    if (event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
    event.preventDefault();
    field.blur();
    document.querySelector(".pane.large canvas")?.focus({ preventScroll: true });
  });
  return field;
}
