// A sound as pictures, drawn while it grows: its waveform, its spectrogram, and codes as a heat map.

const COLUMNS_PER_S = 100;
const N_BANDS = 72;
const FLOOR_DB = -75;

function color(name) {
  return getComputedStyle(document.body).getPropertyValue(name).trim() || "#888";
}

/** The canvas at the resolution of the screen: [context, width, height] in points. */
function prepared(canvas) {
  const scale = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  return [pen, width, height];
}

/** Lowest and highest sample of each hundredth of a second. */
export class Waveform {
  constructor(rateHz, nChannels) {
    this.step = Math.max(1, Math.round(rateHz / COLUMNS_PER_S)) * nChannels;
    this.lows = [];
    this.highs = [];
    this.fill = 0;
  }

  push(samples) {
    for (const sample of samples) {
      if (this.fill === 0) {
        this.lows.push(sample);
        this.highs.push(sample);
      }
      const last = this.lows.length - 1;
      if (sample < this.lows[last]) this.lows[last] = sample;
      if (sample > this.highs[last]) this.highs[last] = sample;
      this.fill = (this.fill + 1) % this.step;
    }
  }

  /** Draw it; what lies before `playedShare` is in the accent. */
  draw(canvas, playedShare, leastColumns = 200) {
    const [pen, width, height] = prepared(canvas);
    const nColumns = Math.max(leastColumns, this.lows.length);
    const nBars = Math.max(1, Math.floor(width / 3));
    const used = (this.lows.length / nColumns) * nBars;
    const paths = [new Path2D(), new Path2D(), new Path2D()];
    for (let bar = 0; bar < nBars; bar++) {
      const first = Math.floor((bar / nBars) * nColumns);
      const end = Math.max(first + 1, Math.floor(((bar + 1) / nBars) * nColumns));
      let peak = 0;
      for (let n = first; n < end && n < this.lows.length; n++) peak = Math.max(peak, this.highs[n], -this.lows[n]);
      const tall = Math.max(2, Math.pow(peak / 32768, 0.7) * (height - 4));
      const path = bar >= used ? 2 : bar < playedShare * used ? 0 : 1;
      paths[path].rect(bar * 3, (height - tall) / 2, 2, tall);
    }
    [color("--pg-accent"), color("--pg-wave"), color("--pg-line")].forEach((ink, n) => {
      pen.fillStyle = ink;
      pen.fill(paths[n]);
    });
  }
}

function fftInPlace(real, imaginary) {
  const n = real.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
    }
  }
  for (let size = 2; size <= n; size *= 2) {
    const angle = (-2 * Math.PI) / size;
    for (let k = 0; k < size / 2; k++) {
      const [c, s] = [Math.cos(angle * k), Math.sin(angle * k)];
      for (let i = k; i < n; i += size) {
        const j = i + size / 2;
        const [re, im] = [real[j] * c - imaginary[j] * s, real[j] * s + imaginary[j] * c];
        real[j] = real[i] - re;
        imaginary[j] = imaginary[i] - im;
        real[i] += re;
        imaginary[i] += im;
      }
    }
  }
}

const mel = (hz) => 2595 * Math.log10(1 + hz / 700);
const hertz = (value) => 700 * (10 ** (value / 2595) - 1);

/** Loudness in 72 mel bands, a column each hundredth of a second: 0 is quiet, 255 loud. */
export class Spectrogram {
  constructor(rateHz, nChannels) {
    this.nChannels = nChannels;
    this.size = 2 ** Math.round(Math.log2(rateHz * 0.024));
    this.hop = Math.max(1, Math.round(rateHz / COLUMNS_PER_S));
    this.window = Float32Array.from({ length: this.size }, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / this.size));
    this.waiting = [];
    this.columns = [];
    const top = mel(rateHz / 2);
    this.edges = Array.from({ length: N_BANDS + 1 }, (_, b) => Math.round((hertz((top * b) / N_BANDS) * this.size) / rateHz));
  }

  push(samples) {
    for (let n = 0; n < samples.length; n += this.nChannels) this.waiting.push(samples[n] / 32768);
    let start = 0;
    for (; start + this.size <= this.waiting.length; start += this.hop) this.columns.push(this.column(start));
    this.waiting = this.waiting.slice(start);
  }

  column(start) {
    const real = new Float32Array(this.size);
    const imaginary = new Float32Array(this.size);
    for (let n = 0; n < this.size; n++) real[n] = this.waiting[start + n] * this.window[n];
    fftInPlace(real, imaginary);
    return Uint8Array.from({ length: N_BANDS }, (_, band) => {
      const [first, end] = [this.edges[band], Math.max(this.edges[band] + 1, this.edges[band + 1])];
      let power = 0;
      for (let k = first; k < end; k++) power = Math.max(power, real[k] ** 2 + imaginary[k] ** 2);
      const level_db = 10 * Math.log10(power / (this.size / 4) ** 2 + 1e-12);
      return Math.max(0, Math.min(255, Math.round((255 * (level_db - FLOOR_DB)) / -FLOOR_DB)));
    });
  }

  /** Draw it; only columns that are new since the last time are painted. */
  draw(canvas, leastColumns = 200) {
    const colors = palette();
    const nColumns = Math.max(leastColumns, this.columns.length);
    if (!this.painted || this.painted.width < nColumns || this.colors !== colors) {
      this.painted = blank(Math.max(nColumns, 2 * this.columns.length), N_BANDS);
      this.nPainted = 0;
      this.colors = colors;
      const ground = this.painted.getContext("2d");
      ground.fillStyle = color("--pg-heat-0");
      ground.fillRect(0, 0, this.painted.width, N_BANDS);
    }
    const nFresh = this.columns.length - this.nPainted;
    if (nFresh > 0) paint(this.painted, this.nPainted, nFresh, N_BANDS, colors, (x, y) => this.columns[this.nPainted + x][N_BANDS - 1 - y]);
    this.nPainted = this.columns.length;
    const [pen, width, height] = prepared(canvas);
    pen.drawImage(this.painted, 0, 0, nColumns, N_BANDS, 0, 0, width, height);
  }
}

function blank(width, height) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [Math.max(1, width), Math.max(1, height)];
  return canvas;
}

const palettes = new Map();

/** 256 colors, from that of the ground over the accent to ink; made once for each theme. */
function palette() {
  const names = ["--pg-heat-0", "--pg-heat-1", "--pg-heat-2"].map(color);
  if (!palettes.has(names.join())) {
    const stops = names.map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
    palettes.set(names.join(), Array.from({ length: 256 }, (_, i) => {
      const place = (i / 255) * 2;
      const [from, to, share] = place < 1 ? [stops[0], stops[1], place] : [stops[1], stops[2], place - 1];
      return [0, 1, 2].map((c) => from[c] + (to[c] - from[c]) * share);
    }));
  }
  return palettes.get(names.join());
}

/** Paint `nColumns` columns of levels 0 to 255 into a canvas, from column `first` on. */
function paint(canvas, first, nColumns, height, colors, levelAt) {
  const pen = canvas.getContext("2d");
  const image = pen.createImageData(nColumns, height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < nColumns; x++) {
      const rgb = colors[levelAt(x, y)];
      const at = 4 * (y * nColumns + x);
      image.data[at] = rgb[0];
      image.data[at + 1] = rgb[1];
      image.data[at + 2] = rgb[2];
      image.data[at + 3] = 255;
    }
  }
  pen.putImageData(image, first, 0);
}

/** A picture of values from 0 to 1. */
export function heatMap(canvas, width, height, valueAt) {
  const small = blank(width, height);
  if (width && height) paint(small, 0, width, height, palette(), (x, y) => Math.round(255 * Math.max(0, Math.min(1, valueAt(x, y)))));
  const [pen, wide, tall] = prepared(canvas);
  pen.imageSmoothingEnabled = width > wide;
  pen.drawImage(small, 0, 0, wide, tall);
}
