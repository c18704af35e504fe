// One sound, perhaps still growing, played without gaps: every piece starts on the exact frame where the last one ends.

// Sound that must be there before playing starts. After running dry it doubles, so that a slow backend stops seldom.
const FIRST_LEAD_S = 0.06;
const MAX_LEAD_S = 4;
// A backend that makes less sound than this in a second would soon be caught up with: it gets a longer start.
const SAFE_PACE = 1.3;
const SLOW_LEAD_S = 0.5;
// Between deciding to play and the first frame, so that the first piece is never late.
const START_S = 0.02;

const contexts = new Map();
let playing = null;

/** The context of a sample rate. At that rate pieces are not resampled, which would make their joins heard. */
export function contextFor(rateHz) {
  if (!contexts.has(rateHz)) contexts.set(rateHz, new AudioContext({ sampleRate: rateHz, latencyHint: "interactive" }));
  const context = contexts.get(rateHz);
  if (context.state === "suspended") context.resume();
  return context;
}

/** Open the loudspeakers at the first touch: that takes up to a quarter of a second, which a first sound need not wait for. */
export function openEarly(rateOf) {
  const open = () => setTimeout(() => contextFor(rateOf()));
  for (const touch of ["pointerdown", "keydown"]) addEventListener(touch, open, { once: true, capture: true });
}

/** Plays 16-bit pieces as they are pushed. Sends "change" when it starts, stops, runs dry or ends, "heard" once. */
export class Player extends EventTarget {
  constructor() {
    super();
    this.begin(24000, 1);
    this.wanted = false;
  }

  /** Start over with a new sound; it plays as soon as there is enough of it. */
  begin(rateHz, nChannels) {
    this.silence();
    this.rateHz = rateHz;
    this.nChannels = nChannels;
    this.pieces = [];
    this.nFrames = 0;
    this.isWhole = false;
    this.gaps = 0;
    this.lead_s = FIRST_LEAD_S;
    this.began_ms = null;
    this.from = 0;
    this.wanted = true;
    this.isSounding = false;
    this.wasHeard = false;
  }

  get duration() {
    return this.nFrames / this.rateHz;
  }

  get position() {
    if (!this.isSounding) return this.from / this.rateHz;
    const frame = this.context.currentTime * this.rateHz - this.originFrame;
    return Math.min(this.nFrames, Math.max(0, frame)) / this.rateHz;
  }

  /** Sound that must be there before it starts, by how fast it came so far. */
  get needed_s() {
    const [first] = this.pieces;
    const waited_s = (performance.now() - this.began_ms) / 1000;
    const isSlow = this.nFrames > first.length && (this.nFrames - first.length) / this.rateHz < SAFE_PACE * waited_s;
    return isSlow ? Math.max(SLOW_LEAD_S, this.lead_s) : this.lead_s;
  }

  /** Add interleaved 16-bit samples. */
  push(samples) {
    const length = samples.length / this.nChannels;
    if (!length) return;
    this.began_ms ??= performance.now();
    const buffer = new AudioBuffer({ length, numberOfChannels: this.nChannels, sampleRate: this.rateHz });
    for (let c = 0; c < this.nChannels; c++) {
      const channel = buffer.getChannelData(c);
      for (let n = 0; n < length; n++) channel[n] = samples[n * this.nChannels + c] / 32768;
    }
    const piece = { start: this.nFrames, length, buffer };
    this.pieces.push(piece);
    this.nFrames += length;
    if (this.isSounding) this.schedule(piece);
    else this.startIfReady();
  }

  /** No more will come. */
  finish() {
    this.isWhole = true;
    this.startIfReady();
    if (this.isSounding && this.context.currentTime * this.rateHz >= this.originFrame + this.nFrames) this.ranOut();
  }

  play() {
    if (this.wanted) return;
    if (this.from >= this.nFrames && this.isWhole) this.from = 0;
    this.wanted = true;
    this.startIfReady();
    this.changed();
  }

  pause() {
    this.from = Math.round(this.position * this.rateHz);
    this.silence();
    this.changed();
  }

  /** Go to a place, in seconds. */
  seek(position_s) {
    const wasWanted = this.wanted;
    this.silence();
    this.from = Math.round(Math.min(this.duration, Math.max(0, position_s)) * this.rateHz);
    this.wanted = wasWanted;
    this.startIfReady();
    this.changed();
  }

  silence() {
    for (const source of this.sources ?? []) {
      source.onended = null;
      source.stop();
      source.disconnect();
    }
    this.sources = new Set();
    this.wanted = false;
    this.isSounding = false;
    if (playing === this) playing = null;
  }

  startIfReady() {
    const ahead_s = (this.nFrames - this.from) / this.rateHz;
    if (!this.wanted || this.isSounding || ahead_s <= 0) return;
    if (!this.isWhole && ahead_s < this.needed_s) return;
    if (playing && playing !== this) playing.pause();
    playing = this;
    this.context = contextFor(this.rateHz);
    this.originFrame = Math.ceil((this.context.currentTime + START_S) * this.rateHz) - this.from;
    this.isSounding = true;
    for (const piece of this.pieces) if (piece.start + piece.length > this.from) this.schedule(piece);
    if (!this.wasHeard) {
      this.wasHeard = true;
      const heard_ms = performance.now() + 1000 * (START_S + (this.context.outputLatency || 0));
      this.dispatchEvent(new CustomEvent("heard", { detail: heard_ms }));
    }
    this.changed();
  }

  schedule(piece) {
    const skipped = Math.max(0, this.from - piece.start);
    const at = (this.originFrame + piece.start + skipped) / this.rateHz;
    if (at < this.context.currentTime) {
      // It came too late; `from` is where the sound broke off.
      this.ranDry(piece.start);
      return;
    }
    const source = new AudioBufferSourceNode(this.context, { buffer: piece.buffer });
    source.connect(this.context.destination);
    source.start(at, skipped / this.rateHz);
    source.onended = () => {
      this.sources.delete(source);
      source.disconnect();
      if (!this.sources.size && this.isSounding) this.ranOut();
    };
    this.sources.add(source);
  }

  ranOut() {
    if (!this.isWhole) return this.ranDry(this.nFrames);
    this.silence();
    this.from = this.nFrames;
    this.changed();
  }

  ranDry(frame) {
    this.silence();
    this.wanted = true;
    this.from = frame;
    this.gaps += 1;
    this.lead_s = Math.min(MAX_LEAD_S, Math.max(0.25, 2 * this.lead_s));
    this.startIfReady();
    this.changed();
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** Stop whatever sounds. */
export function hush() {
  playing?.pause();
}
