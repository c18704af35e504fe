// Read-along: the words of a speech light up while they are heard, a click on a word seeks; subtitles as SRT and VTT.

import { requestJson } from "./backend.js";
import { button, el, saveFile, t } from "./dom.js";

const POLL_MS = 400;
const TICK_MS = 60;

const clock = (at_s, mark) => {
  const total_ms = Math.round(at_s * 1000);
  const two = (n) => String(Math.floor(n)).padStart(2, "0");
  return `${two(total_ms / 3600000)}:${two((total_ms / 60000) % 60)}:${two((total_ms / 1000) % 60)}${mark}${String(total_ms % 1000).padStart(3, "0")}`;
};

/** Returns subtitles with one cue a sentence; `kind` is "srt" or "vtt". */
export function subtitles(sentences, kind) {
  const escape = (text) => (kind === "vtt" ? text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;") : text);
  const mark = kind === "srt" ? "," : ".";
  const cues = sentences.map(({ text, start_s, end_s }, n) =>
    `${kind === "srt" ? `${n + 1}\n` : ""}${clock(start_s, mark)} --> ${clock(end_s, mark)}\n${escape(text.split(/\s+/).join(" ").trim())}\n`);
  return (kind === "vtt" ? "WEBVTT\n\n" : "") + cues.join("\n");
}

export class ReadAlong {
  /** Fills `place`; `player` gives the position and seeks. */
  constructor(place, player) {
    Object.assign(this, { place, player, words: [], sentences: [], current: null });
    this.text = el("div", { class: "pg-read", role: "group", "aria-label": t("read_along"), hidden: true });
    place.replaceChildren(this.text);
    player.addEventListener("change", () => this.tick());
  }

  clear() {
    clearTimeout(this.polling);
    this.words = [];
    this.sentences = [];
    this.current = null;
    this.text.replaceChildren();
    this.text.hidden = true;
  }

  /** Show the timestamps of a running speech and those that follow. Resolves to all sentences. */
  async follow(speech) {
    for (let isComplete = false; !isComplete && this.speech === speech; ) {
      await new Promise((resolve) => (this.polling = setTimeout(resolve, POLL_MS)));
      const timings = await requestJson(`tts/timings/${speech.timingsId}`).catch(() => null);
      if (!timings || this.speech !== speech) return;
      isComplete = timings.is_complete;
      this.show(speech, timings.sentences);
    }
  }

  show(speech, sentences) {
    this.speech = speech;
    speech.sentences = sentences;
    const shown = this.sentences.length;
    // A later answer may only extend the list.
    for (const sentence of sentences.slice(shown)) {
      const units = sentence.words.length ? sentence.words : [sentence];
      for (const unit of units) {
        const word = el("button", { type: "button", class: "pg-word", click: () => this.seek(unit.start_s) }, unit.text);
        this.words.push({ ...unit, word });
        this.text.append(word, " ");
      }
    }
    this.sentences = sentences;
    this.text.hidden = !this.words.length;
    this.tick();
  }

  seek(at_s) {
    this.player.seek(at_s);
    this.player.play();
  }

  tick() {
    clearTimeout(this.ticking);
    const { position } = this.player;
    const heard = this.words.find(({ start_s, end_s }) => position >= start_s && position < end_s);
    if (heard !== this.current) {
      this.current?.word.classList.remove("pg-heard");
      this.current = heard;
      heard?.word.classList.add("pg-heard");
      // Scrolls the text only, never the page.
      if (heard) this.text.scrollTop = heard.word.offsetTop - this.text.offsetTop - this.text.clientHeight / 2;
    }
    if (this.player.isPlaying) this.ticking = setTimeout(() => this.tick(), TICK_MS);
  }

  /** Returns the buttons that save subtitles. */
  buttons(name) {
    return ["srt", "vtt"].map((kind) => button(kind.toUpperCase(), () => saveFile(new Blob([subtitles(this.sentences, kind)]), `${name}.${kind}`), { kind: "small", "aria-label": `${t("download")} ${kind}` }));
  }
}
