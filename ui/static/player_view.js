// Player controls: play and pause, a waveform to seek in, a spectrogram.

import { el, icon, seconds, t } from "./dom.js";
import { Spectrogram, Waveform } from "./visualization.js";
import { Player, currentVolume, setVolume } from "./player.js";

const STEP_S = 1;
// Drawing competes with speech generation for the CPU, so it is throttled.
const TICK_MS = 100;
const DRAW_MS = 400;

/** Creates a volume slider in percent. */
function volumeControl() {
  const slider = el("input", {
    type: "range", min: "0", max: "100", value: String(Math.round(100 * currentVolume())), class: "pg-volume", "aria-label": t("volume"), title: t("volume"),
    input: () => setVolume(Number(slider.value) / 100),
  });
  return slider;
}

export class PlayerView {
  /** Fills `place`; `name` labels the controls for screen readers. */
  constructor(place, name, { isSmall = false } = {}) {
    this.player = new Player();
    this.symbol = el("span", { class: "pg-transport-icon" });
    this.toggle = el("button", { type: "button", class: "pg-transport", "aria-label": t("play"), disabled: true, click: () => this.playOrPause() }, this.symbol);
    this.wave = el("canvas", { class: "pg-wave", "aria-hidden": "true" });
    this.slider = el("div", {
      class: "pg-scrub", role: "slider", tabindex: "0", "aria-label": `${name}: ${t("position")}`, "aria-valuemin": "0",
      "aria-valuemax": "0", "aria-valuenow": "0", click: (event) => this.seekTo(event), keydown: (event) => this.step(event),
    }, this.wave);
    this.clock = el("span", { class: "pg-clock" }, "0.0 s");
    this.spectrum = el("canvas", { class: "pg-spectrum", role: "img", "aria-label": `${name}: ${t("spectrogram")}` });
    place.classList.add("pg-sound");
    place.replaceChildren(el("div", { class: "pg-sound-row" }, this.toggle, this.slider, this.clock, isSmall ? [] : volumeControl()), ...(isSmall ? [] : [this.spectrum]));
    this.isSmall = isSmall;
    this.player.addEventListener("change", () => this.changed());
    new ResizeObserver(() => this.draw()).observe(this.slider);
    document.addEventListener("pg-theme", () => this.draw());
    this.reset(24000, 1);
  }

  reset(rateHz, nChannels) {
    this.waveform = new Waveform(rateHz, nChannels);
    this.spectrogram = new Spectrogram(rateHz, nChannels);
    this.changed();
    this.draw();
  }

  /** Forget the audio. */
  clear() {
    this.player.begin(24000, 1);
    this.player.stop();
    this.toggle.disabled = true;
    this.reset(24000, 1);
  }

  /** Start streamed audio: chunks follow through `push`, and playback starts by itself. */
  begin(rateHz, nChannels) {
    this.player.begin(rateHz, nChannels);
    this.reset(rateHz, nChannels);
    this.toggle.disabled = false;
  }

  push(samples) {
    // The player goes first: drawing may be late, audio must not.
    this.player.push(samples);
    this.waveform.push(samples);
    if (!this.isSmall) this.spectrogram.push(samples);
    this.drawSoon();
  }

  finish() {
    this.player.finish();
    this.drawSoon();
  }

  /** Show complete audio without playing it. */
  show({ samples, rateHz, nChannels }) {
    this.begin(rateHz, nChannels);
    this.player.stop();
    this.push(samples);
    this.finish();
    this.changed();
  }

  playOrPause() {
    if (this.player.shouldPlay) this.player.pause();
    else this.player.play();
  }

  seekTo(event) {
    const box = this.slider.getBoundingClientRect();
    const shownColumns = Math.max(200, this.waveform.lows.length);
    this.player.seek(((event.clientX - box.left) / box.width) * (shownColumns / 100));
  }

  step(event) {
    const moves = { ArrowLeft: -STEP_S, ArrowRight: STEP_S, Home: -Infinity, End: Infinity };
    if (event.key === " " || event.key === "Enter") this.playOrPause();
    else if (event.key in moves) this.player.seek(this.player.position + moves[event.key]);
    else return;
    if (!(event.ctrlKey || event.metaKey)) event.preventDefault();
  }

  changed() {
    const isOn = this.player.shouldPlay;
    this.symbol.replaceChildren(icon(isOn ? "pause" : "play"));
    this.toggle.setAttribute("aria-label", t(isOn ? "pause" : "play"));
    this.tick();
  }

  tick() {
    const { position, duration } = this.player;
    const clock = `${seconds(position)} / ${seconds(duration)}`;
    if (this.clock.textContent !== clock) this.clock.textContent = clock;
    this.waveform.draw(this.wave, duration ? position / duration : 0);
    if (!this.player.isPlaying) {
      this.slider.setAttribute("aria-valuemax", duration.toFixed(1));
      this.slider.setAttribute("aria-valuenow", position.toFixed(1));
      this.slider.setAttribute("aria-valuetext", clock);
    } else if (!this.ticking) {
      this.ticking = setTimeout(() => {
        this.ticking = 0;
        this.tick();
      }, TICK_MS);
    }
  }

  drawSoon() {
    this.drawing ||= setTimeout(() => {
      this.drawing = 0;
      this.draw();
    }, DRAW_MS);
  }

  draw() {
    this.tick();
    if (!this.isSmall) this.spectrogram.draw(this.spectrum);
  }
}
