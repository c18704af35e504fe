// Cloning on the Speak tab: hints about the recording, and saving it as a voice with progress.

import { requestJson } from "./backend.js";
import { button, el, mount, seconds, t } from "./dom.js";
import { decodeAudio } from "./pcm.js";
import { choose } from "./voice_cards.js";

const RATE_HZ = 24000;
const [MIN_S, GOOD_S, MAX_S] = [3, 5, 30];
const [QUIET_DB, NOISY_DB] = [-32, 18];
const PACE_KEY = "phonogram-adaptation-pace";
// Seconds of work per second of speech before this browser has measured it.
const FIRST_PACE = 3;

let recording = null;
let length_s = 0;
let draw = () => {};

/** Returns hints about a recording as [is good, text]; `samples` are 16-bit, one channel or interleaved. */
export function hintsFor({ samples, rateHz, nChannels }) {
  const frame = Math.round(0.03 * rateHz) * nChannels;
  const levels = [];
  let [peak, nClipped] = [0, 0];
  for (let at = 0; at + frame <= samples.length; at += frame) {
    let power = 0;
    for (let n = at; n < at + frame; n++) {
      const sample = Math.abs(samples[n]);
      power += sample * sample;
      if (sample > peak) peak = sample;
      if (sample >= 32700) nClipped += 1;
    }
    levels.push(10 * Math.log10(power / frame / 32768 ** 2 + 1e-10));
  }
  levels.sort((one, other) => one - other);
  const at = (share) => levels[Math.min(levels.length - 1, Math.floor(share * levels.length))] ?? -100;
  const duration_s = samples.length / nChannels / rateHz;
  const length = duration_s < MIN_S ? [false, "hint_too_short"] : duration_s < GOOD_S ? [false, "hint_short"] : duration_s > MAX_S ? [false, "hint_long"] : [true, "hint_length_good"];
  const level = nClipped > 3 ? [false, "hint_clipped"] : at(0.8) < QUIET_DB ? [false, "hint_quiet"] : [true, "hint_level_good"];
  const noise = at(0.8) - at(0.1) < NOISY_DB ? [false, "hint_noisy"] : [true, "hint_noise_good"];
  return [length, level, noise].map(([isGood, name]) => [isGood, t(name, { length: seconds(duration_s) })]);
}

/** Called when the recording of the Speak tab changes. */
export async function showRecording(chosen) {
  recording = chosen;
  draw([]);
  if (!chosen) return;
  const blob = await (await fetch(chosen.url)).blob();
  const sound = await decodeAudio(blob, RATE_HZ).catch(() => null);
  length_s = sound ? sound.samples.length / sound.nChannels / RATE_HZ : 0;
  if (recording === chosen) draw(sound ? hintsFor(sound) : [[false, t("hint_unreadable")]]);
}

const field = (selector) => document.querySelector(`${selector} textarea, ${selector} input`);

mount("cloning", (place) => {
  const hints = el("ul", { class: "pg-hints", "aria-label": t("recording_quality") });
  const name = el("input", { type: "text", class: "pg-input pg-grow", maxlength: "64", placeholder: t("voice_name_hint"), "aria-label": t("voice_name") });
  const listen = button(t("listen"), () => document.querySelector("#pg-speak")?.click(), { kind: "small" });
  const save = button(t("save_voice"), () => store(), { kind: "main" });
  const bar = el("progress", { max: "1", value: "0", hidden: true, "aria-label": t("adapting") });
  const state = el("p", { class: "pg-state", role: "status" });
  place.replaceChildren(el("div", { class: "pg-clone" }, hints, el("div", { class: "pg-row" }, listen, name, save), bar, state));

  draw = (found) => {
    hints.replaceChildren(...found.map(([isGood, text]) => el("li", { class: isGood ? "pg-good" : "pg-warn" }, el("span", { "aria-hidden": "true" }, isGood ? "✓" : "!"), text)));
    listen.disabled = !recording;
    state.textContent = "";
    state.classList.remove("pg-bad");
  };
  draw([]);

  function fail(message) {
    state.textContent = message;
    state.classList.add("pg-bad");
  }

  async function store() {
    state.classList.remove("pg-bad");
    if (!recording) return fail(t("voice_needs_sound"));
    if (!name.value.trim()) return fail(t("voice_needs_name"));
    if (!field("#pg-consent")?.checked) return fail(t("voice_needs_consent"));
    const words = field("#pg-transcript")?.value.trim() ?? "";
    const expected_s = words ? Math.max(2, length_s * Number(localStorage.getItem(PACE_KEY) ?? FIRST_PACE)) : 1;
    const started_ms = performance.now();
    const took_s = () => (performance.now() - started_ms) / 1000;
    const watch = setInterval(() => {
      // The last tenth waits for the answer: the time is an estimate.
      bar.value = Math.min(0.9, took_s() / expected_s);
      state.textContent = t("saving_voice", { took: seconds(took_s()), expected: seconds(expected_s) });
    }, 200);
    bar.hidden = false;
    save.disabled = true;
    try {
      const form = new FormData();
      form.append("name", name.value.trim());
      form.append("text", words);
      form.append("consent", "true");
      form.append("audio", await (await fetch(recording.url)).blob(), "recording");
      const voice = await requestJson("voices", { method: "POST", body: form });
      if (words && length_s) localStorage.setItem(PACE_KEY, String(took_s() / length_s));
      document.querySelector("#pg-refresh")?.click();
      document.dispatchEvent(new Event("pg-voices"));
      choose(voice.id);
      name.value = "";
      draw([]);
      state.textContent = t("voice_saved", { name: voice.name });
    } catch (error) {
      fail(error.message);
    } finally {
      clearInterval(watch);
      bar.hidden = true;
      save.disabled = false;
    }
  }
});
