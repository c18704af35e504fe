// The page's own scripts: its head, theme and keys, and the parts of the tabs.

import { transcode } from "./codec.js";
import { el, icon, mount, word } from "./dom.js";
import "./emotions.js";
import "./review.js";
import { preview, speak, stop } from "./speak.js";
import "./system.js";
import { reload as reloadVoices } from "./voices.js";

const THEME_KEY = "phonogram-theme";
const POLL_MS = 3000;

function applyTheme(name) {
  document.body.classList.toggle("dark", name === "dark");
  document.documentElement.style.colorScheme = name;
  document.dispatchEvent(new Event("pg-theme"));
}

function wantedTheme() {
  return localStorage.getItem(THEME_KEY) ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

function toggleTheme() {
  const name = document.body.classList.contains("dark") ? "light" : "dark";
  localStorage.setItem(THEME_KEY, name);
  applyTheme(name);
}

/** A dot and a few words on whether a text can be spoken now; asked again until it can. */
function watch(place) {
  const dot = el("span", { class: "pg-dot" });
  const text = el("span", {}, word("asking"));
  place.append(dot, text);
  const look = async () => {
    let [kind, sentence] = ["bad", word("page_away")];
    try {
      const answer = await fetch("/backend/ready");
      const ready = await answer.json();
      if (answer.status === 200) [kind, sentence] = ["good", ready.engine?.model ? word("ready_with", { model: ready.engine.model }) : word("ready")];
      else if (answer.status === 503) [kind, sentence] = ready.loading ? ["wait", word("loading")] : ["bad", `${word("not_ready")} ${ready.message}`];
      else sentence = ready.message ?? sentence;
    } catch {
      // The page itself is away: said so already.
    }
    dot.className = `pg-dot pg-dot-${kind}`;
    if (text.textContent !== sentence) text.textContent = sentence;
    setTimeout(look, kind === "good" ? 10 * POLL_MS : POLL_MS);
  };
  look();
}

mount("header", (place) => {
  // Gradio has chosen a theme of its own meanwhile, and put its style sheets after all that was there.
  applyTheme(wantedTheme());
  document.head.append(el("link", { rel: "stylesheet", href: "/page/page.css" }));
  const state = el("div", { class: "pg-pill", role: "status" });
  const mark = el("span", { class: "pg-mark", "aria-hidden": "true" }, ...[9, 17, 26, 14, 20, 7].map((tall) => el("i", { style: `height:${tall}px` })));
  const theme = el("button", { type: "button", class: "pg-button pg-round", "aria-label": word("theme"), title: word("theme"), click: toggleTheme }, icon("sun"), icon("moon"));
  place.append(el("header", { class: "pg-header" }, mark, el("h1", {}, word("title")), el("span", { class: "pg-grow" }), state, theme));
  watch(state);
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    const press = document.querySelector("#pg-speak");
    if (press && press.offsetParent !== null) {
      event.preventDefault();
      press.click();
    }
  }
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) stop();
});

applyTheme(wantedTheme());

async function previewChosen(voice) {
  if (voice) await preview(voice).catch((error) => alert(error.message));
}

// What the buttons of the tabs call.
window.phonogram = { speak, stop, previewChosen, reloadVoices, transcode };
