// The library of voices: heard, renamed, judged for likeness, removed.

import { ask, askJson, offers, sendJson } from "./backend.js";
import { attempt, button, el, mount, word } from "./dom.js";
import { preview } from "./speak.js";

let draw = async () => {};

export function reload() {
  return draw();
}

mount("voices", (place) => {
  const state = el("p", { class: "pg-state", role: "status" }, "");
  const search = el("input", { type: "search", class: "pg-input", placeholder: word("find_voice"), "aria-label": word("find_voice"), input: () => show() });
  const list = el("ul", { class: "pg-voices" });
  place.replaceChildren(el("section", { class: "pg-card", "aria-label": word("voices") },
    el("div", { class: "pg-row" }, el("h2", {}, word("voices")), el("span", { class: "pg-grow" }), search), state, list));
  let voices = [];
  let can = {};

  function doing(pressed, act) {
    state.textContent = "";
    return attempt(state, pressed, act);
  }

  /** The dropdown of the Speak tab follows the library. */
  function tellSpeakTab() {
    document.querySelector("#pg-refresh")?.click();
  }

  async function rename(voice) {
    const name = prompt(word("new_name"), voice.name)?.trim();
    if (!name || name === voice.name) return;
    await sendJson("PATCH", `voices/${encodeURIComponent(voice.id)}`, { name });
    await draw();
    tellSpeakTab();
  }

  async function remove(voice) {
    if (!confirm(word("remove_sure", { name: voice.name }))) return;
    await ask(`voices/${encodeURIComponent(voice.id)}`, { method: "DELETE" });
    await draw();
    tellSpeakTab();
  }

  async function likeness(voice) {
    state.textContent = word("measuring_likeness");
    const { similarity } = await askJson(`voices/${encodeURIComponent(voice.id)}/similarity`);
    state.textContent = word("likeness_is", { name: voice.name, value: similarity.toFixed(2) });
  }

  function card(voice) {
    const act = (label, run, options) => button(label, (event) => doing(event.currentTarget, () => run(voice)), { kind: "small", "aria-label": `${label}: ${voice.name}`, ...options });
    return el("li", { class: "pg-voice" },
      can.preview && button(`${word("preview")}: ${voice.name}`, (event) => doing(event.currentTarget, () => preview(voice.id)), { kind: "round", picture: "play" }),
      el("div", { class: "pg-grow" }, el("b", {}, voice.name),
        el("span", { class: "pg-quiet" }, [voice.description, voice.is_builtin ? voice.license : word("added_by_you")].filter(Boolean).join(" · "))),
      !voice.is_builtin && can.similarity && act(word("likeness"), likeness),
      !voice.is_builtin && can.rename && act(word("rename"), rename),
      !voice.is_builtin && act(word("remove"), remove));
  }

  function show() {
    const wanted = search.value.trim().toLowerCase();
    const found = voices.filter((voice) => `${voice.name} ${voice.id} ${voice.description ?? ""}`.toLowerCase().includes(wanted));
    list.replaceChildren(...(found.length ? found.map(card) : [el("li", { class: "pg-quiet" }, word("no_voices"))]));
  }

  draw = async () => {
    try {
      voices = (await askJson("voices")).voices;
      voices.sort((one, other) => one.is_builtin - other.is_builtin);
      can = {
        preview: await offers("get", "/voices/{voice_id}/preview"), rename: await offers("patch", "/voices/{voice_id}"),
        similarity: await offers("get", "/voices/{voice_id}/similarity"),
      };
      state.textContent = "";
      state.classList.remove("pg-bad");
    } catch (error) {
      state.textContent = error.message;
      state.classList.add("pg-bad");
    }
    show();
  };
  draw();
});
