// DOM elements, localized texts, and parts of the page that are drawn when Gradio inserts their placeholder.

const LABELS = JSON.parse(document.getElementById("pg-labels")?.textContent ?? "{}");

/** Returns a text of ui/labels.py with {names} filled in. */
export function t(name, values = {}) {
  const text = LABELS[name] ?? name.replace(/^[a-z]+_/, "");
  return typeof text === "string" ? text.replace(/\{(\w+)\}/g, (_, key) => values[key] ?? "") : text;
}

/** Creates an element. Function attributes become event listeners; false and null are omitted. */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const ICONS = {
  play: "M7 4.5v15l12-7.5z",
  pause: "M7 5h3.5v14H7zM13.5 5H17v14h-3.5z",
  stop: "M6 6h12v12H6z",
  sun: "M12 7a5 5 0 1 0 0 10 5 5 0 0 0 0-10zM12 1.5v3M12 19.5v3M1.5 12h3M19.5 12h3M4.6 4.6l2.1 2.1M17.3 17.3l2.1 2.1M4.6 19.4l2.1-2.1M17.3 6.7l2.1-2.1",
  moon: "M20 14.5A8.5 8.5 0 1 1 9.5 4a7 7 0 0 0 10.5 10.5z",
};

/** Creates an icon, hidden from screen readers. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("pg-icon", `pg-icon-${name}`);
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

export function button(label, act, { kind = "plain", iconName = null, ...attributes } = {}) {
  const content = iconName ? [icon(iconName), el("span", { class: "pg-hidden" }, label)] : [label];
  return el("button", { type: "button", class: `pg-button pg-${kind}`, click: act, title: iconName ? label : null, ...attributes }, content);
}

/** Run a button's action with the button disabled; `state` shows the error if it fails. */
export async function runAction(state, pressed, act) {
  pressed.disabled = true;
  state.classList.remove("pg-bad");
  try {
    await act();
  } catch (error) {
    state.textContent = error.message;
    state.classList.add("pg-bad");
  } finally {
    pressed.disabled = false;
  }
}

const mounts = new Map();
const drawn = new WeakSet();

function drawMounted() {
  for (const place of document.querySelectorAll("[data-part]")) {
    const draw = mounts.get(place.dataset.part);
    if (!draw || drawn.has(place)) continue;
    drawn.add(place);
    draw(place);
  }
}

/** Call `draw(placeholder)` whenever Gradio inserts the placeholder of `part`. */
export function mount(part, draw) {
  mounts.set(part, draw);
  drawMounted();
}

new MutationObserver((records) => {
  if (records.some(({ addedNodes }) => [...addedNodes].some((node) => node.nodeType === Node.ELEMENT_NODE))) drawMounted();
}).observe(document.documentElement, { childList: true, subtree: true });

/** Set the text of a Gradio field as typing would; inserts at the cursor if `at` is "cursor". */
export function typeInto(selector, text, at = "whole") {
  const field = document.querySelector(`${selector} textarea, ${selector} input`);
  if (!field) return;
  const start = at === "cursor" ? field.selectionStart ?? field.value.length : 0;
  const end = at === "cursor" ? field.selectionEnd ?? start : field.value.length;
  const whole = field.value.slice(0, start) + text + field.value.slice(end);
  const kind = field.tagName === "TEXTAREA" ? HTMLTextAreaElement : HTMLInputElement;
  Object.getOwnPropertyDescriptor(kind.prototype, "value").set.call(field, whole);
  field.dispatchEvent(new Event("input", { bubbles: true }));
  field.focus();
  field.setSelectionRange?.(start + text.length, start + text.length);
}

export function seconds(value) {
  if (value < 60) return `${value.toFixed(1)} s`;
  return `${Math.floor(value / 60)}:${String(Math.floor(value % 60)).padStart(2, "0")}`;
}

export function saveFile(blob, name) {
  const link = el("a", { href: URL.createObjectURL(blob), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
