// The Speak tab: sends the text and plays the audio while it is generated.

import { request, requestJson, BackendError, hasEndpoint, speechFields } from "./backend.js";
import { button, el, mount, saveFile, seconds, typeInto, t } from "./dom.js";
import * as history from "./history.js";
import { concatenate, SampleReader, wavFile } from "./pcm.js";
import { contextFor, pauseActive, openOnFirstGesture } from "./player.js";
import { PlayerView } from "./player_view.js";
import { ReadAlong } from "./read_along.js";

const STEPS = ["sent", "first", "generating", "done"];
const LOCAL_FORMATS = { wav: (speech) => wavFile(speech.pcm, speech.rateHz, speech.nChannels), pcm: (speech) => new Blob([speech.pcm]) };
const FORMAT_KEY = "phonogram-format";
// Stages of a request in the backend, in order.
const STAGES = ["queue", "reference", "semantic", "synthesis"];

let panel = null;
let current = null;
let expectedRateHz = 24000;

export function stop() {
  current?.abort();
  pauseActive();
}

/** Generate speech from the values of the fields and play it while it arrives. */
export async function speak(values) {
  stop();
  const clicked_ms = performance.now();
  panel.clear();
  if (!values.text?.trim()) return panel.fail(t("empty"));
  if (values.recording && !values.consent) return panel.fail(t("consent_missing"));
  const controller = new AbortController();
  current = controller;
  const speech = { ...values, at: Date.now(), chunks: [], gaps: 0, isWhole: false, timingsId: crypto.randomUUID?.() ?? `${Math.random()}${Math.random()}`.replace(/\./g, "") };
  panel.begin(speech, clicked_ms);
  try {
    speech.clip = values.recording ? await (await fetch(values.recording.url)).blob() : null;
    const pending = request("tts", { method: "POST", headers: { "X-Timings-Id": speech.timingsId }, body: formOf(speech, "pcm", true), signal: controller.signal });
    // Opened while the backend works, unless a user gesture has opened it already.
    contextFor(expectedRateHz);
    const response = await pending;
    readHeaders(speech, response.headers);
    expectedRateHz = speech.rateHz;
    panel.startPlayback(speech);
    const reader = new SampleReader(speech.nChannels);
    const body = response.body.getReader();
    for (let chunk = await body.read(); !chunk.done; chunk = await body.read()) {
      const samples = reader.read(chunk.value);
      speech.chunks.push(samples);
      panel.append(speech, samples);
    }
    speech.isWhole = true;
    speech.total_ms = performance.now() - clicked_ms;
  } catch (error) {
    if (current !== controller) return;
    const isStopped = error.name === "AbortError";
    panel.fail(isStopped ? t("stopped") : error instanceof BackendError ? error.message : t("ended_early"), isStopped);
  }
  if (current === controller) current = null;
  await panel.end(speech);
}

/** Returns whether the backend adapts the voice to the recording first. */
const needsAdaptation = (speech) => Boolean(speech.recording && speech.fit && speech.words?.trim());

/** Returns the form of `POST /tts`; empty fields are omitted. */
function formOf(speech, format, isStreaming, seed = speech.seed) {
  const form = new FormData();
  const sent = { ...speech.options, text: speech.text, seed, format, streaming: isStreaming };
  if (speech.clip) {
    form.append("reference_audio", speech.clip, "recording");
    form.append("reference_text", speech.words ?? "");
    sent.fit_reference = needsAdaptation(speech) ? true : null;
  } else {
    sent.voice = speech.voice;
  }
  for (const [name, value] of Object.entries(sent)) {
    if (value !== null && value !== undefined && String(value).trim() !== "") form.append(name, String(value).trim());
  }
  return form;
}

function readHeaders(speech, headers) {
  speech.rateHz = Number(headers.get("x-sample-rate"));
  speech.nChannels = Number(headers.get("x-channels") ?? 1);
  speech.usedSeed = headers.get("x-seed");
  speech.ignored = decodeURIComponent(headers.get("x-ignored-params") ?? "").replace(/\.$/, "");
  speech.requestId = headers.get("x-request-id");
  speech.serverFirst_ms = Number(headers.get("x-first-audio-ms"));
  if (!(speech.rateHz > 0)) throw new BackendError(t("no_rate"));
}

class SpeechPanel {
  constructor(place) {
    this.state = el("p", { class: "pg-state", role: "status" }, t("speak_hint"));
    this.steps = Object.fromEntries(STEPS.map((step) => [step, el("li", {}, el("b", {}, t(`step_${step}`)), el("span", {}, ""))]));
    this.playerPlace = el("div");
    this.metrics = el("dl", { class: "pg-metrics" });
    this.readPlace = el("div");
    this.downloads = el("div", { class: "pg-row", role: "group", "aria-label": t("download") });
    place.replaceChildren(
      el("div", { class: "pg-card" }, this.state, el("ol", { class: "pg-steps" }, Object.values(this.steps)), this.playerPlace, this.readPlace, this.downloads, this.metrics),
    );
    this.view = new PlayerView(this.playerPlace, t("speech"));
    this.readAlong = new ReadAlong(this.readPlace, this.view.player);
    this.view.player.addEventListener("started", (event) => this.onStarted(event.detail));
    this.view.player.addEventListener("change", () => this.onPlayerChange());
  }

  clear() {
    for (const step of Object.values(this.steps)) {
      step.className = "";
      step.lastChild.textContent = "";
    }
    this.metrics.replaceChildren();
    this.downloads.replaceChildren();
    // Otherwise the sound of an earlier text would look like the result.
    this.view.clear();
    this.readAlong.clear();
    this.speech = null;
    this.state.classList.remove("pg-bad");
  }

  step(name, text, isDone = true) {
    this.steps[name].className = isDone ? "pg-done" : "pg-now";
    this.steps[name].lastChild.textContent = text;
  }

  begin(speech, clicked_ms) {
    this.speech = speech;
    this.clicked_ms = clicked_ms;
    this.state.textContent = t(needsAdaptation(speech) ? "adapting" : "speaking");
    this.step("sent", t("waiting_first"), false);
    document.body.classList.add("pg-busy");
    this.waiting = setInterval(() => this.step("sent", seconds((performance.now() - clicked_ms) / 1000), false), 200);
  }

  startPlayback(speech) {
    clearInterval(this.waiting);
    this.state.textContent = t("speaking");
    this.step("sent", t("accepted"));
    this.step("first", `${Math.round(performance.now() - this.clicked_ms)} ms`);
    this.view.begin(speech.rateHz, speech.nChannels);
    this.readAlong.speech = speech;
    this.following = this.readAlong.follow(speech);
  }

  append(speech, samples) {
    this.view.push(samples);
    const { duration, position } = this.view.player;
    const took_s = (performance.now() - this.clicked_ms) / 1000;
    this.step("generating", t("generating_text", { made: seconds(duration), ahead: seconds(duration - position), pace: (duration / took_s).toFixed(1) }), false);
  }

  onStarted(at_ms) {
    if (this.speech && this.speech.heard_ms === undefined) this.speech.heard_ms = at_ms - this.clicked_ms;
  }

  onPlayerChange() {
    const player = this.view?.player;
    if (player && this.speech) this.speech.gaps = player.underruns;
    if (player && !player.isComplete && player.shouldPlay && !player.isPlaying && player.underruns) this.state.textContent = t("buffering");
  }

  fail(message, isNeutral = false) {
    clearInterval(this.waiting);
    document.body.classList.remove("pg-busy");
    this.state.textContent = message;
    this.state.classList.toggle("pg-bad", !isNeutral);
    for (const step of Object.values(this.steps)) if (step.className === "pg-now") step.className = "";
  }

  async end(speech) {
    document.body.classList.remove("pg-busy");
    this.view.finish();
    speech.pcm = concatenate(speech.chunks);
    delete speech.chunks;
    if (!speech.pcm.length) return;
    speech.duration_s = speech.pcm.length / speech.nChannels / speech.rateHz;
    if (speech.isWhole) {
      this.step("generating", t("generated", { made: seconds(speech.duration_s) }));
      this.step("done", `${(speech.total_ms / 1000).toFixed(2)} s`);
      const ignored = speech.ignored ? ` ${t("ignored")} ${speech.ignored}.` : "";
      this.state.textContent = t("spoken") + ignored;
    }
    this.showMetrics(speech);
    this.showDownloads(speech);
    await this.following;
    if (this.speech === speech) this.showDownloads(speech);
    await history.save(speech);
    this.loadServerMetrics(speech);
  }

  /** Show and play a speech of the history. */
  showSaved(speech) {
    this.clear();
    this.speech = speech;
    this.state.textContent = t("from_history");
    this.view.show({ samples: speech.pcm, rateHz: speech.rateHz, nChannels: speech.nChannels });
    if (speech.sentences) this.readAlong.show(speech, speech.sentences);
    this.view.player.play();
    this.showMetrics(speech);
    this.showDownloads(speech);
  }

  showMetrics(speech) {
    const rows = [
      ["m_first_audio", speech.heard_ms && `${Math.round(speech.heard_ms)} ms`], ["m_length", seconds(speech.duration_s)],
      ["m_total", speech.total_ms && `${(speech.total_ms / 1000).toFixed(2)} s`],
      ["m_speed", speech.total_ms && t("times_real_time", { pace: ((1000 * speech.duration_s) / speech.total_ms).toFixed(1) })],
      ["m_underruns", speech.isWhole ? String(speech.gaps) : null], ["m_seed", speech.usedSeed],
      ...STAGES.map((stage) => [`m_${stage}`, speech.stages?.[stage] !== undefined && `${Math.round(speech.stages[stage] * 1000)} ms`]),
    ];
    this.metrics.replaceChildren(...rows.filter(([, value]) => value).map(([name, value]) => el("div", {}, el("dt", {}, t(name)), el("dd", {}, value))));
  }

  /** Load the times of the stages, which the backend knows only after the last audio was sent. */
  async loadServerMetrics(speech) {
    if (!speech.requestId || !(await hasEndpoint("get", "/requests"))) return;
    const recent = await requestJson("requests?limit=50").catch(() => null);
    const rows = recent?.requests ?? [];
    const own = rows.find((row) => row.id === speech.requestId);
    if (!own) return;
    speech.stages = { queue: own.queue_s };
    const metrics = await requestJson("metrics?format=json").catch(() => null);
    // The engine reports the stages of its last request: this one, if it is the newest and no other runs.
    if (rows[0] === own && metrics?.phonogram_open_speeches === 0) {
      for (const stage of STAGES.slice(1)) speech.stages[stage] = metrics.engine?.counts?.[`${stage}_s`]?.last;
    }
    if (this.speech === speech) this.showMetrics(speech);
  }

  async showDownloads(speech) {
    const fields = await speechFields().catch(() => null);
    const formats = fields?.format?.enum ?? Object.keys(LOCAL_FORMATS);
    const remembered = localStorage.getItem(FORMAT_KEY);
    const choice = el("select", { class: "pg-input", "aria-label": t("format"), change: () => localStorage.setItem(FORMAT_KEY, choice.value) }, formats.map((format) => el("option", { value: format }, format)));
    if (formats.includes(remembered)) choice.value = remembered;
    const parts = [
      button(t("download"), (event) => this.download(speech, choice.value, event.currentTarget), { kind: "main" }), choice,
      ...(this.speech === speech && this.readAlong.sentences.length ? this.readAlong.buttons(fileName(speech)) : []),
      el("span", { class: "pg-grow" }),
      !speech.isWhole && el("span", { class: "pg-badge" }, t("incomplete")),
      speech.usedSeed && button(t("reuse_seed"), () => typeInto("#pg-seed", speech.usedSeed), { kind: "small" }),
    ];
    this.downloads.replaceChildren(...parts.filter(Boolean));
  }

  async download(speech, format, pressed) {
    pressed.disabled = true;
    try {
      saveFile(format in LOCAL_FORMATS ? LOCAL_FORMATS[format](speech) : await convert(speech, format), `${fileName(speech)}.${format}`);
    } catch (error) {
      this.state.textContent = error.message;
      this.state.classList.add("pg-bad");
    } finally {
      pressed.disabled = false;
    }
  }
}

const fileName = (speech) => `speech-${speech.usedSeed}${speech.isWhole === false ? "-incomplete" : ""}`;

/** Returns the samples that were heard as a file of another format. */
async function convert(speech, format) {
  const form = new FormData();
  form.append("audio", LOCAL_FORMATS.wav(speech), "speech.wav");
  return (await request(`audio/convert?format=${format}`, { method: "POST", body: form })).blob();
}

/** Play the preview of a voice. */
export async function preview(voice) {
  const place = el("div");
  const view = new PlayerView(place, t("preview"), { isSmall: true });
  const response = await request(`voices/${encodeURIComponent(voice)}/preview?format=pcm`);
  const nChannels = Number(response.headers.get("x-channels") ?? 1);
  const rateHz = Number(response.headers.get("x-sample-rate") ?? expectedRateHz);
  view.show({ samples: new SampleReader(nChannels).read(new Uint8Array(await response.arrayBuffer())), rateHz, nChannels });
  view.player.play();
  return view.player;
}

openOnFirstGesture(() => expectedRateHz);

mount("speech", (place) => {
  panel = new SpeechPanel(place);
  history.onOpen((speech) => panel.showSaved(speech));
});
