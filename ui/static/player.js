// Gapless playback of audio that may still be streaming: each chunk starts on the exact sample where the last one ends.

// Audio buffered before playback starts. It doubles after an underrun, so that a slow backend causes few of them.
const FIRST_LEAD_S = 0.06;
const MAX_LEAD_S = 4;
// Below this speed (seconds of audio per second) playback would soon catch up: it starts with a larger buffer.
const SAFE_PACE = 1.3;
const SLOW_LEAD_S = 0.5;
// Delay between the decision to play and the first sample, so that the first chunk is never late.
const START_S = 0.02;

const contexts = new Map();
let active = null;
const VOLUME_KEY = "phonogram-volume";
let volume = Number(localStorage.getItem(VOLUME_KEY) ?? 1);

/** Returns the audio context of a sample rate. At that rate chunks are not resampled, which would make joins audible. */
export function contextFor(rateHz) {
  if (!contexts.has(rateHz)) {
    const opened = new AudioContext({ sampleRate: rateHz, latencyHint: "interactive" });
    opened.volume = opened.createGain();
    opened.volume.gain.value = volume;
    opened.volume.connect(opened.destination);
    contexts.set(rateHz, opened);
  }
  const context = contexts.get(rateHz);
  if (context.state === "suspended") context.resume();
  return context;
}

/** Returns the playback volume, 0 to 1. */
export function currentVolume() {
  return volume;
}

/** Set the playback volume, 0 to 1; it is remembered. Files are not changed by it. */
export function setVolume(value) {
  volume = Math.min(1, Math.max(0, value));
  localStorage.setItem(VOLUME_KEY, String(volume));
  for (const context of contexts.values()) context.volume.gain.value = volume;
}

/** Open the audio output at the first user gesture; opening takes up to 250 ms, which would delay the first audio. */
export function openOnFirstGesture(rateOf) {
  const open = () => setTimeout(() => contextFor(rateOf()));
  for (const gesture of ["pointerdown", "keydown"]) addEventListener(gesture, open, { once: true, capture: true });
}

/** Plays 16-bit chunks as they are pushed. Fires "change" on start, stop, underrun and end, "started" once with the time in ms. */
export class Player extends EventTarget {
  constructor() {
    super();
    this.begin(24000, 1);
    this.shouldPlay = false;
  }

  /** Reset to new audio; playback starts as soon as enough is buffered. */
  begin(rateHz, nChannels) {
    this.stop();
    this.rateHz = rateHz;
    this.nChannels = nChannels;
    this.chunks = [];
    this.nFrames = 0;
    this.isComplete = false;
    this.underruns = 0;
    this.lead_s = FIRST_LEAD_S;
    this.firstChunk_ms = null;
    this.from = 0;
    this.shouldPlay = true;
    this.isPlaying = false;
    this.hasStarted = false;
  }

  get duration() {
    return this.nFrames / this.rateHz;
  }

  get position() {
    if (!this.isPlaying) return this.from / this.rateHz;
    const frame = this.context.currentTime * this.rateHz - this.originFrame;
    return Math.min(this.nFrames, Math.max(0, frame)) / this.rateHz;
  }

  /** Seconds that must be buffered before playback starts, by the speed of arrival so far. */
  get requiredLead_s() {
    const [first] = this.chunks;
    const waited_s = (performance.now() - this.firstChunk_ms) / 1000;
    const isSlow = this.nFrames > first.length && (this.nFrames - first.length) / this.rateHz < SAFE_PACE * waited_s;
    return isSlow ? Math.max(SLOW_LEAD_S, this.lead_s) : this.lead_s;
  }

  /** Add interleaved 16-bit samples. */
  push(samples) {
    const length = samples.length / this.nChannels;
    if (!length) return;
    this.firstChunk_ms ??= performance.now();
    const buffer = new AudioBuffer({ length, numberOfChannels: this.nChannels, sampleRate: this.rateHz });
    for (let c = 0; c < this.nChannels; c++) {
      const channel = buffer.getChannelData(c);
      for (let n = 0; n < length; n++) channel[n] = samples[n * this.nChannels + c] / 32768;
    }
    const chunk = { start: this.nFrames, length, buffer };
    this.chunks.push(chunk);
    this.nFrames += length;
    if (this.isPlaying) this.schedule(chunk);
    else this.startIfReady();
  }

  /** Mark the audio as complete. */
  finish() {
    this.isComplete = true;
    this.startIfReady();
    if (this.isPlaying && this.context.currentTime * this.rateHz >= this.originFrame + this.nFrames) this.onEnded();
  }

  play() {
    if (this.shouldPlay) return;
    if (this.from >= this.nFrames && this.isComplete) this.from = 0;
    this.shouldPlay = true;
    this.startIfReady();
    this.changed();
  }

  pause() {
    this.from = Math.round(this.position * this.rateHz);
    this.stop();
    this.changed();
  }

  /** Move to a position in seconds. */
  seek(position_s) {
    const wasPlaying = this.shouldPlay;
    this.stop();
    this.from = Math.round(Math.min(this.duration, Math.max(0, position_s)) * this.rateHz);
    this.shouldPlay = wasPlaying;
    this.startIfReady();
    this.changed();
  }

  stop() {
    for (const source of this.sources ?? []) {
      source.onended = null;
      source.stop();
      source.disconnect();
    }
    this.sources = new Set();
    this.shouldPlay = false;
    this.isPlaying = false;
    if (active === this) active = null;
  }

  startIfReady() {
    const ahead_s = (this.nFrames - this.from) / this.rateHz;
    if (!this.shouldPlay || this.isPlaying || ahead_s <= 0) return;
    if (!this.isComplete && ahead_s < this.requiredLead_s) return;
    if (active && active !== this) active.pause();
    active = this;
    this.context = contextFor(this.rateHz);
    this.originFrame = Math.ceil((this.context.currentTime + START_S) * this.rateHz) - this.from;
    this.isPlaying = true;
    for (const chunk of this.chunks) if (chunk.start + chunk.length > this.from) this.schedule(chunk);
    if (!this.hasStarted) {
      this.hasStarted = true;
      const started_ms = performance.now() + 1000 * (START_S + (this.context.outputLatency || 0));
      this.dispatchEvent(new CustomEvent("started", { detail: started_ms }));
    }
    this.changed();
  }

  schedule(chunk) {
    const skipped = Math.max(0, this.from - chunk.start);
    const at = (this.originFrame + chunk.start + skipped) / this.rateHz;
    if (at < this.context.currentTime) {
      // The chunk arrived too late; playback stops at its start.
      this.onUnderrun(chunk.start);
      return;
    }
    const source = new AudioBufferSourceNode(this.context, { buffer: chunk.buffer });
    source.connect(this.context.volume);
    source.start(at, skipped / this.rateHz);
    source.onended = () => {
      this.sources.delete(source);
      source.disconnect();
      if (!this.sources.size && this.isPlaying) this.onEnded();
    };
    this.sources.add(source);
  }

  onEnded() {
    if (!this.isComplete) return this.onUnderrun(this.nFrames);
    this.stop();
    this.from = this.nFrames;
    this.changed();
  }

  onUnderrun(frame) {
    this.stop();
    this.shouldPlay = true;
    this.from = frame;
    this.underruns += 1;
    this.lead_s = Math.min(MAX_LEAD_S, Math.max(0.25, 2 * this.lead_s));
    this.startIfReady();
    this.changed();
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** Pause the active player, if any. */
export function pauseActive() {
  active?.pause();
}
