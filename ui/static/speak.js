// Speaking: a text goes out, and its sound is heard while it is still being made.

import { ask, askJson, BackendError, offers, speechFields } from "./backend.js";
import { button, el, mount, saveFile, seconds, typeInto, word } from "./dom.js";
import * as history from "./history.js";
import { joined, SampleReader, wavFile } from "./pcm.js";
import { contextFor, hush, openEarly } from "./player.js";
import { SoundView } from "./player_view.js";

const STEPS = ["sent", "first", "growing", "whole"];
const MADE_HERE = { wav: (said) => wavFile(said.pcm, said.rateHz, said.nChannels), pcm: (said) => new Blob([said.pcm]) };
// What a speech goes through at the backend, in its order.
const STAGES = ["queue", "reference", "semantic", "synthesis"];

let panel = null;
let current = null;
let expectedRateHz = 24000;

export function stop() {
  current?.abort();
  hush();
}

/** Speak with the values of the fields, and play while it comes. */
export async function speak(values) {
  stop();
  const clicked_ms = performance.now();
  panel.clear();
  if (!values.text?.trim()) return panel.fail(word("empty"));
  if (values.recording && !values.consent) return panel.fail(word("consent_missing"));
  const asking = new AbortController();
  current = asking;
  const said = { ...values, at: Date.now(), pieces: [], gaps: 0, isWhole: false };
  panel.begin(said, clicked_ms);
  try {
    said.clip = values.recording ? await (await fetch(values.recording.url)).blob() : null;
    const answering = ask("tts", { method: "POST", body: formOf(said, "pcm", true), signal: asking.signal });
    // Opened while the backend works, if no touch has done so yet.
    contextFor(expectedRateHz);
    const answer = await answering;
    readHeaders(said, answer.headers);
    expectedRateHz = said.rateHz;
    panel.open(said);
    const samples = new SampleReader(said.nChannels);
    const body = answer.body.getReader();
    for (let piece = await body.read(); !piece.done; piece = await body.read()) {
      const fresh = samples.read(piece.value);
      said.pieces.push(fresh);
      panel.grow(said, fresh);
    }
    said.isWhole = true;
    said.total_ms = performance.now() - clicked_ms;
  } catch (error) {
    if (current !== asking) return;
    const isStopped = error.name === "AbortError";
    panel.fail(isStopped ? word("stopped") : error instanceof BackendError ? error.message : word("broke_off"), isStopped);
  }
  if (current === asking) current = null;
  await panel.end(said);
}

/** Whether the backend is to fit a voice to the recording first. */
const isFitted = (said) => Boolean(said.recording && said.fit && said.words?.trim());

/** The fields of `POST /tts`; empty ones are left to the backend. */
function formOf(said, format, isStreaming, seed = said.seed) {
  const form = new FormData();
  const sent = { ...said.options, text: said.text, seed, format, streaming: isStreaming };
  if (said.clip) {
    form.append("reference_audio", said.clip, "recording");
    form.append("reference_text", said.words ?? "");
    sent.fit_reference = isFitted(said) ? true : null;
  } else {
    sent.voice = said.voice;
  }
  for (const [name, value] of Object.entries(sent)) {
    if (value !== null && value !== undefined && String(value).trim() !== "") form.append(name, String(value).trim());
  }
  return form;
}

function readHeaders(said, headers) {
  said.rateHz = Number(headers.get("x-sample-rate"));
  said.nChannels = Number(headers.get("x-channels") ?? 1);
  said.usedSeed = headers.get("x-seed");
  said.ignored = decodeURIComponent(headers.get("x-ignored-params") ?? "").replace(/\.$/, "");
  said.requestId = headers.get("x-request-id");
  said.serverFirst_ms = Number(headers.get("x-first-audio-ms"));
  if (!(said.rateHz > 0)) throw new BackendError(word("no_rate"));
}

class SpeechPanel {
  constructor(place) {
    this.state = el("p", { class: "pg-state", role: "status" }, word("nothing_yet"));
    this.steps = Object.fromEntries(STEPS.map((step) => [step, el("li", {}, el("b", {}, word(`step_${step}`)), el("span", {}, ""))]));
    this.soundPlace = el("div");
    this.measures = el("dl", { class: "pg-measures" });
    this.downloads = el("div", { class: "pg-row", role: "group", "aria-label": word("download") });
    place.replaceChildren(
      el("div", { class: "pg-card" }, this.state, el("ol", { class: "pg-steps" }, Object.values(this.steps)), this.soundPlace, this.measures, this.downloads),
    );
    this.view = new SoundView(this.soundPlace, word("speech"));
    this.view.player.addEventListener("heard", (event) => this.heard(event.detail));
    this.view.player.addEventListener("change", () => this.playing());
  }

  clear() {
    for (const step of Object.values(this.steps)) {
      step.className = "";
      step.lastChild.textContent = "";
    }
    this.measures.replaceChildren();
    this.downloads.replaceChildren();
    this.state.classList.remove("pg-bad");
  }

  step(name, text, isDone = true) {
    this.steps[name].className = isDone ? "pg-done" : "pg-now";
    this.steps[name].lastChild.textContent = text;
  }

  begin(said, clicked_ms) {
    this.said = said;
    this.clicked_ms = clicked_ms;
    this.state.textContent = word(isFitted(said) ? "fitting" : "speaking");
    this.step("sent", word("waiting_first"), false);
    document.body.classList.add("pg-busy");
    this.waiting = setInterval(() => this.step("sent", seconds((performance.now() - clicked_ms) / 1000), false), 200);
  }

  open(said) {
    clearInterval(this.waiting);
    this.state.textContent = word("speaking");
    this.step("sent", word("accepted"));
    this.step("first", `${Math.round(performance.now() - this.clicked_ms)} ms`);
    this.view.begin(said.rateHz, said.nChannels);
  }

  grow(said, fresh) {
    this.view.push(fresh);
    const { duration, position } = this.view.player;
    const took_s = (performance.now() - this.clicked_ms) / 1000;
    this.step("growing", word("growing_text", { made: seconds(duration), ahead: seconds(duration - position), pace: (duration / took_s).toFixed(1) }), false);
  }

  heard(at_ms) {
    if (this.said && this.said.heard_ms === undefined) this.said.heard_ms = at_ms - this.clicked_ms;
  }

  playing() {
    const player = this.view?.player;
    if (player && this.said) this.said.gaps = player.gaps;
    if (player && !player.isWhole && player.wanted && !player.isSounding && player.gaps) this.state.textContent = word("catching_up");
  }

  fail(sentence, isCalm = false) {
    clearInterval(this.waiting);
    document.body.classList.remove("pg-busy");
    this.state.textContent = sentence;
    this.state.classList.toggle("pg-bad", !isCalm);
    for (const step of Object.values(this.steps)) if (step.className === "pg-now") step.className = "";
  }

  async end(said) {
    document.body.classList.remove("pg-busy");
    this.view.finish();
    said.pcm = joined(said.pieces);
    delete said.pieces;
    if (!said.pcm.length) return;
    said.duration_s = said.pcm.length / said.nChannels / said.rateHz;
    if (said.isWhole) {
      this.step("growing", word("made", { made: seconds(said.duration_s) }));
      this.step("whole", `${(said.total_ms / 1000).toFixed(2)} s`);
      const left = said.ignored ? ` ${word("ignored")} ${said.ignored}.` : "";
      this.state.textContent = word("spoken") + left;
    }
    this.measure(said);
    this.offer(said);
    await history.keep(said);
    this.measureAtServer(said);
  }

  /** Show a speech of the past. */
  recall(said) {
    this.clear();
    this.said = said;
    this.state.textContent = word("recalled");
    this.view.show({ samples: said.pcm, rateHz: said.rateHz, nChannels: said.nChannels });
    this.view.player.play();
    this.measure(said);
    this.offer(said);
  }

  measure(said) {
    const rows = [
      ["m_heard", said.heard_ms && `${Math.round(said.heard_ms)} ms`], ["m_length", seconds(said.duration_s)],
      ["m_total", said.total_ms && `${(said.total_ms / 1000).toFixed(2)} s`],
      ["m_rtf", said.total_ms && (said.total_ms / 1000 / said.duration_s).toFixed(2)],
      ["m_gaps", said.isWhole ? String(said.gaps) : null], ["m_seed", said.usedSeed],
      ...STAGES.map((stage) => [`m_${stage}`, said.stages?.[stage] !== undefined && `${Math.round(said.stages[stage] * 1000)} ms`]),
    ];
    this.measures.replaceChildren(...rows.filter(([, value]) => value).map(([name, value]) => el("div", {}, el("dt", {}, word(name)), el("dd", {}, value))));
  }

  /** The stages, which are known only after the last sound, when headers are long gone. */
  async measureAtServer(said) {
    if (!said.requestId || !(await offers("get", "/requests"))) return;
    const answer = await askJson("requests?limit=50").catch(() => null);
    const rows = answer?.requests ?? [];
    const own = rows.find((row) => row.id === said.requestId);
    if (!own) return;
    said.stages = { queue: own.queue_s };
    const metrics = await askJson("metrics?format=json").catch(() => null);
    // The engine tells the stages of its last speech: ours, if nothing came after it or runs beside it.
    if (rows[0] === own && metrics?.phonogram_open_speeches === 0) {
      for (const stage of STAGES.slice(1)) said.stages[stage] = metrics.engine?.counts?.[`${stage}_s`]?.last;
    }
    if (this.said === said) this.measure(said);
  }

  async offer(said) {
    const fields = await speechFields().catch(() => null);
    const formats = fields?.format?.enum ?? Object.keys(MADE_HERE);
    this.downloads.replaceChildren(
      el("span", { class: "pg-quiet" }, word("download")),
      ...formats.map((format) => button(format, (event) => this.download(said, format, event.currentTarget), { kind: "small", "aria-label": `${word("download")} ${format}` })),
      el("span", { class: "pg-grow" }),
      said.usedSeed && button(word("keep_seed"), () => typeInto("#pg-seed", said.usedSeed), { kind: "small" }),
    );
  }

  async download(said, format, pressed) {
    pressed.disabled = true;
    try {
      saveFile(format in MADE_HERE ? MADE_HERE[format](said) : await inFormat(said, format), `speech-${said.usedSeed}.${format}`);
    } catch (error) {
      this.fail(error.message);
    } finally {
      pressed.disabled = false;
    }
  }
}

/** The same speech in another format: the same text, voice and seed give the same codes, which the backend kept. */
async function inFormat(said, format) {
  const send = (isStreaming) => ask("tts", { method: "POST", body: formOf(said, format, isStreaming, said.usedSeed) });
  const answer = await send(true).catch((error) => (error.status === 400 ? send(false) : Promise.reject(error)));
  return answer.blob();
}

/** Speak a voice's sample, or silence it. */
export async function preview(voice) {
  const place = el("div");
  const view = new SoundView(place, word("preview"), { isSmall: true });
  const answer = await ask(`voices/${encodeURIComponent(voice)}/preview?format=pcm`);
  const nChannels = Number(answer.headers.get("x-channels") ?? 1);
  const rateHz = Number(answer.headers.get("x-sample-rate") ?? expectedRateHz);
  view.show({ samples: new SampleReader(nChannels).read(new Uint8Array(await answer.arrayBuffer())), rateHz, nChannels });
  view.player.play();
  return view.player;
}

openEarly(() => expectedRateHz);

mount("speech", (place) => {
  panel = new SpeechPanel(place);
  history.onOpen((said) => panel.recall(said));
});
