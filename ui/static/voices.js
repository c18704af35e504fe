// The Voices tab: preview, rename, remove, and measure the similarity of voices.

import { onReady, request, requestJson, hasEndpoint, sendJson } from "./backend.js";
import { runAction, button, el, mount, t } from "./dom.js";
import { preview } from "./speak.js";

/** Returns whether each word of the query starts a word of the text: "male" does not find "female". */
function hasWords(text, query) {
  const known = text.toLowerCase().split(/[^\p{L}\p{N}]+/u);
  return query.split(/\s+/).filter(Boolean).every((word) => known.some((one) => one.startsWith(word)) || text.toLowerCase().startsWith(word));
}

let draw = async () => {};

export function reload() {
  return draw();
}

mount("voices", (place) => {
  const state = el("p", { class: "pg-state", role: "status" }, "");
  const search = el("input", { type: "search", class: "pg-input", placeholder: t("find_voice"), "aria-label": t("find_voice"), input: () => show() });
  const list = el("ul", { class: "pg-voices" });
  place.replaceChildren(el("section", { class: "pg-card", "aria-label": t("voices") },
    el("div", { class: "pg-row" }, el("h2", {}, t("voices")), el("span", { class: "pg-grow" }), search), state, list));
  let voices = [];
  let can = {};

  function runButton(pressed, act) {
    state.textContent = "";
    return runAction(state, pressed, act);
  }

  /** Refresh the voices of the Speak tab. */
  function refreshSpeakTab() {
    document.querySelector("#pg-refresh")?.click();
    document.dispatchEvent(new Event("pg-voices"));
  }

  async function rename(voice) {
    const name = prompt(t("new_name"), voice.name)?.trim();
    if (!name || name === voice.name) return;
    await sendJson("PATCH", `voices/${encodeURIComponent(voice.id)}`, { name });
    await draw();
    refreshSpeakTab();
  }

  async function remove(voice) {
    if (!confirm(t("remove_confirm", { name: voice.name }))) return;
    await request(`voices/${encodeURIComponent(voice.id)}`, { method: "DELETE" });
    await draw();
    refreshSpeakTab();
  }

  async function showSimilarity(voice) {
    state.textContent = t("measuring_similarity");
    const { similarity } = await requestJson(`voices/${encodeURIComponent(voice.id)}/similarity`);
    state.textContent = t("similarity_result", { name: voice.name, value: similarity.toFixed(2) });
  }

  function card(voice) {
    const act = (label, run, options) => button(label, (event) => runButton(event.currentTarget, () => run(voice)), { kind: "small", "aria-label": `${label}: ${voice.name}`, ...options });
    return el("li", { class: "pg-voice" },
      can.preview && button(`${t("preview")}: ${voice.name}`, (event) => runButton(event.currentTarget, () => preview(voice.id)), { kind: "round", iconName: "play" }),
      el("div", { class: "pg-grow" }, el("b", {}, voice.name),
        el("span", { class: "pg-quiet" }, [voice.description, voice.is_builtin ? voice.license : t("added_by_you")].filter(Boolean).join(" · "))),
      !voice.is_builtin && can.similarity && act(t("similarity"), showSimilarity),
      !voice.is_builtin && can.rename && act(t("rename"), rename),
      !voice.is_builtin && act(t("remove"), remove));
  }

  function show() {
    const query = search.value.trim().toLowerCase();
    const matches = voices.filter((voice) => hasWords(`${voice.name} ${voice.id} ${voice.description ?? ""}`, query));
    list.replaceChildren(...(matches.length ? matches.map(card) : [el("li", { class: "pg-quiet" }, t("no_voices"))]));
  }

  draw = async () => {
    try {
      voices = (await requestJson("voices")).voices;
      voices.sort((one, other) => one.is_builtin - other.is_builtin);
      can = {
        preview: await hasEndpoint("get", "/voices/{voice_id}/preview"), rename: await hasEndpoint("patch", "/voices/{voice_id}"),
        similarity: await hasEndpoint("get", "/voices/{voice_id}/similarity"),
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
  onReady(() => draw());
});
