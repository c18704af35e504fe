// Entry point of the page's scripts: header, theme, keyboard shortcuts and tabs.

import { transcode } from "./codec.js";
import { setReady } from "./backend.js";
import { el, icon, mount, t } from "./dom.js";
import "./emotions.js";
import "./audiobooks.js";
import { showRecording } from "./cloning.js";
import { speak, stop } from "./speak.js";
import "./system.js";
import "./text_tools.js";
import { choose, showChosen } from "./voice_cards.js";
import { reload as reloadVoices } from "./voices.js";

const THEME_KEY = "phonogram-theme";
const POLL_MS = 3000;

function applyTheme(name) {
  document.body.classList.toggle("dark", name === "dark");
  document.documentElement.style.colorScheme = name;
  document.dispatchEvent(new Event("pg-theme"));
}

function preferredTheme() {
  return localStorage.getItem(THEME_KEY) ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

function toggleTheme() {
  const name = document.body.classList.contains("dark") ? "light" : "dark";
  localStorage.setItem(THEME_KEY, name);
  applyTheme(name);
}

/** Show whether the backend is ready as a dot and a sentence; polls the backend. */
function watch(place) {
  const dot = el("span", { class: "pg-dot" });
  const text = el("span", {}, t("connecting"));
  place.append(dot, text);
  const poll = async () => {
    let [kind, sentence, state] = ["bad", t("page_unreachable"), null];
    try {
      const response = await fetch("/backend/ready");
      const ready = await response.json();
      state = ready;
      if (response.status === 200) [kind, sentence] = ["good", ready.engine?.model ? t("ready_with", { model: ready.engine.model }) : t("ready")];
      else if (response.status === 503) [kind, sentence] = ready.loading ? ["wait", t("loading")] : ["bad", `${t("not_ready")} ${ready.message}`];
      else sentence = ready.message ?? sentence;
    } catch {
      // The page's server is unreachable: the default sentence says so.
    }
    dot.className = `pg-dot pg-dot-${kind}`;
    setReady(kind === "good" ? state : null);
    if (text.textContent !== sentence) text.textContent = sentence;
    setTimeout(poll, POLL_MS);
  };
  poll();
}

mount("header", (place) => {
  // Gradio has set its own theme by now and appended its style sheets after ours.
  applyTheme(preferredTheme());
  document.head.append(el("link", { rel: "stylesheet", href: "/page/page.css" }));
  const state = el("div", { class: "pg-pill", role: "status" });
  const logo = el("span", { class: "pg-mark", "aria-hidden": "true" }, ...[9, 17, 26, 14, 20, 7].map((tall) => el("i", { style: `height:${tall}px` })));
  const theme = el("button", { type: "button", class: "pg-button pg-round", "aria-label": t("theme"), title: t("theme"), click: toggleTheme }, icon("sun"), icon("moon"));
  place.append(el("header", { class: "pg-header" }, logo, el("h1", {}, t("title")), el("span", { class: "pg-grow" }), state, theme));
  watch(state);
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    const speakButton = document.querySelector("#pg-speak");
    if (speakButton && speakButton.offsetParent !== null) {
      event.preventDefault();
      speakButton.click();
    }
  }
  // Esc closes a list or a dialog first; only elsewhere it stops the speech.
  const isInList = event.target.closest?.("[role=combobox], [role=listbox], [aria-expanded=true]") || document.querySelector("[role=listbox], ul.options");
  if (event.key === "Escape" && !isInList && !document.querySelector("dialog[open]")) stop();
});

applyTheme(preferredTheme());

// Called by the buttons of the tabs.
window.phonogram = { speak, stop, choose, showChosen, showRecording, reloadVoices, transcode };
