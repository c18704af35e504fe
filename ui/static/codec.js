// A sound through the codec and back: before and after, what it costs, and the codes themselves.

import { ask, askJson } from "./backend.js";
import { button, el, mount, saveFile, word } from "./dom.js";
import { decoded } from "./pcm.js";
import { heatMap } from "./visualization.js";
import { SoundView } from "./player_view.js";

const MAX_FRAMES = 1500;

let run = () => {};

/** Send the chosen recording through the codec. */
export function transcode(recording) {
  return run(recording);
}

function upload(name, blob) {
  const form = new FormData();
  form.append(name, blob, name);
  return { method: "POST", body: form };
}

mount("codec", (place) => {
  const state = el("p", { class: "pg-state", role: "status" }, word("codec_how"));
  const [before, after] = [el("div"), el("div")];
  const amount = el("b", {}, word("all_codebooks"));
  const slider = el("input", { type: "range", min: "1", max: "1", value: "1", disabled: true, class: "pg-range", "aria-label": word("codebooks"), input: () => named(), change: () => again() });
  const facts = el("dl", { class: "pg-measures" });
  const map = el("canvas", { class: "pg-codes", role: "img", "aria-label": word("code_map") });
  const saving = el("div", { class: "pg-row" });
  const result = el("div", { class: "pg-stack", hidden: true },
    el("section", { class: "pg-card", "aria-label": word("before") }, el("h2", {}, word("before")), before),
    el("section", { class: "pg-card", "aria-label": word("after") }, el("h2", {}, word("after")), after, facts, saving),
    el("section", { class: "pg-card", "aria-label": word("codes") }, el("h2", {}, word("codes")), el("p", { class: "pg-quiet" }, word("codes_text")), map));
  place.replaceChildren(el("div", { class: "pg-stack" },
    el("section", { class: "pg-card", "aria-label": word("codec") }, state, el("div", { class: "pg-row" }, el("span", {}, word("codebooks")), slider, amount)), result));
  const views = [new SoundView(before, word("before")), new SoundView(after, word("after"))];
  let original = null;
  let busy = false;
  let wantedAgain = false;
  let survey = null;

  function named() {
    amount.textContent = word("codebooks_of", { n: slider.value, all: slider.max });
  }

  /** Moving the slider while the codec works is answered once it is free. */
  async function again() {
    if (!original) return;
    if (busy) {
      wantedAgain = true;
      return;
    }
    busy = true;
    try {
      await through(slider.disabled ? "" : `?n_codebooks=${slider.value}`);
    } catch (error) {
      state.textContent = error.message;
      state.classList.add("pg-bad");
    } finally {
      busy = false;
      if (wantedAgain) {
        wantedAgain = false;
        again();
      }
    }
  }

  async function through(query) {
    state.classList.remove("pg-bad");
    state.textContent = word("codec_works");
    const started = performance.now();
    const codes = await (await ask(`codec/encode${query}`, upload("audio", original))).blob();
    const encoded_ms = performance.now() - started;
    const wave = await (await ask("codec/decode?format=wav", upload("codes", codes))).blob();
    const decoded_ms = performance.now() - started - encoded_ms;
    survey = await askJson(`codec/inspect?max_frames=${MAX_FRAMES}`, upload("codes", codes));
    if (slider.disabled) {
      slider.max = slider.value = survey.n_codebooks;
      slider.disabled = survey.n_codebooks < 2;
    }
    named();
    result.hidden = false;
    views[0].show(await decoded(original, survey.sample_rate_hz));
    views[1].show(await decoded(wave, survey.sample_rate_hz));
    const rows = [["c_codec", survey.codec], ["c_bitrate", `${survey.file_kbps.toFixed(2)} kbps`], ["c_size", `${survey.file_bytes} B`], ["c_was", `${original.size} B`],
      ["m_length", `${survey.duration_s.toFixed(2)} s`], ["c_frames", String(survey.n_frames)], ["c_encoding", `${Math.round(encoded_ms)} ms`], ["c_decoding", `${Math.round(decoded_ms)} ms`]];
    facts.replaceChildren(...rows.map(([name, value]) => el("div", {}, el("dt", {}, word(name)), el("dd", {}, value))));
    saving.replaceChildren(button(word("save_codes"), () => saveFile(codes, "speech.pgc"), { kind: "small" }), button(word("save_after"), () => saveFile(wave, "after.wav"), { kind: "small" }));
    drawCodes();
    state.textContent = word("codec_done", { kbps: survey.file_kbps.toFixed(2) });
  }

  /** A row for each codebook, a column for each frame, the code's place in its codebook as the color. */
  function drawCodes() {
    if (!survey) return;
    const { codes, codebook_sizes: sizes } = survey;
    map.style.height = `${Math.min(320, 22 * codes.length)}px`;
    heatMap(map, codes[0]?.length ?? 0, codes.length, (x, y) => codes[y][x] / (sizes[y] - 1));
  }

  run = async (recording) => {
    if (!recording) {
      state.textContent = word("codec_needs_sound");
      state.classList.add("pg-bad");
      return;
    }
    original = await (await fetch(recording.url)).blob();
    await again();
  };
  document.addEventListener("pg-theme", drawCodes);
  new ResizeObserver(drawCodes).observe(map);
});
