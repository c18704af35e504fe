// The voices at the top of the Speak tab: cards with a sample, filters, and the voice that will be used.

import { onReady, requestJson } from "./backend.js";
import { button, el, mount, t } from "./dom.js";
import { preview } from "./speak.js";

const FILTERS = ["all", "female", "male", "american", "british", "added"];

let voices = [];
let chosen = { voice: "", hasRecording: false };
let draw = () => {};
let drawChosen = () => {};

const matches = (voice, filter) => filter === "all" || (filter === "added" ? !voice.is_builtin : [voice.gender, voice.accent].some((one) => one?.toLowerCase() === filter));

/** Returns the display name of a voice id. */
export function nameOf(id) {
  return voices.find((one) => one.id === id)?.name ?? (id || t("default_voice"));
}

/** Called when the voice or the recording of the Speak tab changes. */
export function showChosen(voice, recording) {
  chosen = { voice: voice ?? "", hasRecording: Boolean(recording) };
  draw();
  drawChosen();
}

/** Set the voice of the Speak tab; removes a recording, which would take precedence. */
export function choose(id) {
  window.phonogram.chosenVoice = id;
  document.querySelector("#pg-choose-voice")?.click();
}

mount("voice_cards", (place) => {
  let filter = "all";
  const cards = el("ul", { class: "pg-cards", "aria-label": t("voices") });
  const bar = el("div", { class: "pg-chips pg-words", role: "group", "aria-label": t("filter_voices") });
  const state = el("span", { class: "pg-quiet", role: "status" });
  place.replaceChildren(el("div", { class: "pg-row pg-cards-head" }, bar, el("span", { class: "pg-grow" }), state), cards);

  async function play(voice, pressed) {
    pressed.disabled = true;
    state.textContent = "";
    try {
      await preview(voice.id);
    } catch (error) {
      state.textContent = error.message;
    } finally {
      pressed.disabled = false;
    }
  }

  function card(voice) {
    const isChosen = !chosen.hasRecording && voice.id === (chosen.voice || voices[0]?.id);
    const kind = [voice.accent, voice.gender].filter(Boolean).join(" · ") || t("added_by_you");
    return el("li", { class: `pg-voice-card${isChosen ? " pg-chosen" : ""}` },
      button(`${t("sample")}: ${voice.name}`, (event) => play(voice, event.currentTarget), { kind: "round", iconName: "play" }),
      el("button", { type: "button", class: "pg-pick", "aria-pressed": String(isChosen), click: () => choose(voice.id) },
        el("b", {}, voice.name), el("span", { class: "pg-quiet" }, kind)));
  }

  draw = () => {
    const used = FILTERS.filter((name) => voices.some((voice) => matches(voice, name)));
    bar.replaceChildren(...(used.length > 2 ? used : []).map((name) => button(t(`filter_${name}`), () => {
      filter = name;
      draw();
    }, { kind: "chip", "aria-pressed": String(name === filter) })));
    cards.replaceChildren(...voices.filter((voice) => matches(voice, filter)).map(card));
    place.hidden = !voices.length;
  };

  const load = async () => {
    voices = (await requestJson("voices").catch(() => ({ voices }))).voices;
    draw();
    drawChosen();
  };
  onReady(load);
  document.addEventListener("pg-voices", load);
});

mount("chosen_voice", (place) => {
  const name = el("b");
  const remove = button(t("use_library_voice"), () => choose(chosen.voice), { kind: "small" });
  place.replaceChildren(el("p", { class: "pg-row pg-chosen-voice", role: "status" }, el("span", {}, t("speaks_with")), name, remove));
  drawChosen = () => {
    name.textContent = chosen.hasRecording ? t("your_recording") : chosen.voice ? nameOf(chosen.voice) : voices[0]?.name ?? t("default_voice");
    remove.hidden = !chosen.hasRecording;
  };
  drawChosen();
});
