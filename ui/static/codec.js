// The Codec tab: encodes and decodes audio and shows both waveforms, the bitrate and the codes.

import { request, requestJson } from "./backend.js";
import { button, el, mount, saveFile, t } from "./dom.js";
import { decodeAudio } from "./pcm.js";
import { heatMap } from "./visualization.js";
import { PlayerView } from "./player_view.js";

const MAX_FRAMES = 1500;

let run = () => {};

/** Encode and decode the chosen recording. */
export function transcode(recording) {
  return run(recording);
}

function upload(name, blob) {
  const form = new FormData();
  form.append(name, blob, name);
  return { method: "POST", body: form };
}

mount("codec", (place) => {
  const state = el("p", { class: "pg-state", role: "status" }, t("codec_hint"));
  const [before, after] = [el("div"), el("div")];
  const amount = el("b", {}, t("all_codebooks"));
  const slider = el("input", { type: "range", min: "1", max: "1", value: "1", disabled: true, class: "pg-range", "aria-label": t("codebooks"), input: () => showAmount(), change: () => rerun() });
  const metrics = el("dl", { class: "pg-metrics" });
  const map = el("canvas", { class: "pg-codes", role: "img", "aria-label": t("code_map") });
  const downloads = el("div", { class: "pg-row" });
  const result = el("div", { class: "pg-stack", hidden: true },
    el("section", { class: "pg-card", "aria-label": t("before") }, el("h2", {}, t("before")), before),
    el("section", { class: "pg-card", "aria-label": t("after") }, el("h2", {}, t("after")), after, metrics, downloads),
    el("section", { class: "pg-card", "aria-label": t("codes") }, el("h2", {}, t("codes")), el("p", { class: "pg-quiet" }, t("codes_text")), map));
  place.replaceChildren(el("div", { class: "pg-stack" },
    el("section", { class: "pg-card", "aria-label": t("codec") }, state, el("div", { class: "pg-row" }, el("span", {}, t("codebooks")), slider, amount)), result));
  const views = [new PlayerView(before, t("before")), new PlayerView(after, t("after"))];
  let original = null;
  let busy = false;
  let isRerunPending = false;
  let inspection = null;

  function showAmount() {
    amount.textContent = t("codebooks_of", { n: slider.value, all: slider.max });
  }

  /** Run the codec; a slider move during a run starts another run when it ends. */
  async function rerun() {
    if (!original) return;
    if (busy) {
      isRerunPending = true;
      return;
    }
    busy = true;
    try {
      await runCodec(slider.disabled ? "" : `?n_codebooks=${slider.value}`);
    } catch (error) {
      state.textContent = error.message;
      state.classList.add("pg-bad");
    } finally {
      busy = false;
      if (isRerunPending) {
        isRerunPending = false;
        rerun();
      }
    }
  }

  async function runCodec(query) {
    state.classList.remove("pg-bad");
    state.textContent = t("codec_running");
    const started = performance.now();
    const codes = await (await request(`codec/encode${query}`, upload("audio", original))).blob();
    const encoded_ms = performance.now() - started;
    const wave = await (await request("codec/decode?format=wav", upload("codes", codes))).blob();
    const decoded_ms = performance.now() - started - encoded_ms;
    inspection = await requestJson(`codec/inspect?max_frames=${MAX_FRAMES}`, upload("codes", codes));
    if (slider.disabled) {
      // The maximum first: a value above it would be cut.
      slider.max = String(inspection.n_codebooks);
      slider.value = slider.max;
      slider.disabled = inspection.n_codebooks < 2;
    }
    showAmount();
    result.hidden = false;
    views[0].show(await decodeAudio(original, inspection.sample_rate_hz));
    views[1].show(await decodeAudio(wave, inspection.sample_rate_hz));
    const rows = [["c_codec", inspection.codec], ["c_bitrate", `${inspection.file_kbps.toFixed(2)} kbps`], ["c_size", `${inspection.file_bytes} B`], ["c_source", `${original.size} B`],
      ["m_length", `${inspection.duration_s.toFixed(2)} s`], ["c_frames", String(inspection.n_frames)], ["c_encoding", `${Math.round(encoded_ms)} ms`], ["c_decoding", `${Math.round(decoded_ms)} ms`]];
    metrics.replaceChildren(...rows.map(([name, value]) => el("div", {}, el("dt", {}, t(name)), el("dd", {}, value))));
    downloads.replaceChildren(button(t("save_codes"), () => saveFile(codes, "speech.pgc"), { kind: "small" }), button(t("save_after"), () => saveFile(wave, "after.wav"), { kind: "small" }));
    drawCodes();
    state.textContent = t("codec_done", { kbps: inspection.file_kbps.toFixed(2) });
  }

  /** Draw one row per codebook and one column per frame, colored by code / (codebook size - 1). */
  function drawCodes() {
    if (!inspection) return;
    const { codes, codebook_sizes: sizes } = inspection;
    map.style.height = `${Math.min(320, Math.max(96, 22 * codes.length))}px`;
    heatMap(map, codes[0]?.length ?? 0, codes.length, (x, y) => codes[y][x] / (sizes[y] - 1));
  }

  run = async (recording) => {
    if (!recording) {
      state.textContent = t("codec_needs_sound");
      state.classList.add("pg-bad");
      return;
    }
    original = await (await fetch(recording.url)).blob();
    await rerun();
  };
  document.addEventListener("pg-theme", drawCodes);
  new ResizeObserver(drawCodes).observe(map);
});
