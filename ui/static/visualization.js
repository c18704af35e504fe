// Waveform and spectrogram of audio, drawn incrementally, and a heat map of codes.

const COLUMNS_PER_S = 100;
const N_BANDS = 72;
const FLOOR_DB = -75;

function color(name) {
  return getComputedStyle(document.body).getPropertyValue(name).trim() || "#888";
}

/** Sizes the canvas to the screen's resolution and clears it: [context, width, height] in CSS pixels. */
function prepareCanvas(canvas) {
  const scale = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return [context, width, height];
}

/** Minimum and maximum sample of each 10 ms. */
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

  /** Draw the waveform; the part before `playedShare` (0 to 1) has the accent color. */
  draw(canvas, playedShare, minColumns = 200) {
    const [context, width, height] = prepareCanvas(canvas);
    const nColumns = Math.max(minColumns, this.lows.length);
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
    [color("--pg-accent"), color("--pg-wave"), color("--pg-line")].forEach((fillColor, n) => {
      context.fillStyle = fillColor;
      context.fill(paths[n]);
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

/** Level in 72 mel bands, one column per 10 ms: 0 is -75 dB or less, 255 is full scale. */
export class Spectrogram {
  constructor(rateHz, nChannels) {
    this.nChannels = nChannels;
    this.size = 2 ** Math.round(Math.log2(rateHz * 0.024));
    this.hop = Math.max(1, Math.round(rateHz / COLUMNS_PER_S));
    this.window = Float32Array.from({ length: this.size }, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / this.size));
    this.buffer = [];
    this.columns = [];
    const top = mel(rateHz / 2);
    this.edges = Array.from({ length: N_BANDS + 1 }, (_, b) => Math.round((hertz((top * b) / N_BANDS) * this.size) / rateHz));
  }

  push(samples) {
    for (let n = 0; n < samples.length; n += this.nChannels) this.buffer.push(samples[n] / 32768);
    let start = 0;
    for (; start + this.size <= this.buffer.length; start += this.hop) this.columns.push(this.column(start));
    this.buffer = this.buffer.slice(start);
  }

  column(start) {
    const real = new Float32Array(this.size);
    const imaginary = new Float32Array(this.size);
    for (let n = 0; n < this.size; n++) real[n] = this.buffer[start + n] * this.window[n];
    fftInPlace(real, imaginary);
    return Uint8Array.from({ length: N_BANDS }, (_, band) => {
      const [first, end] = [this.edges[band], Math.max(this.edges[band] + 1, this.edges[band + 1])];
      let power = 0;
      for (let k = first; k < end; k++) power = Math.max(power, real[k] ** 2 + imaginary[k] ** 2);
      const level_db = 10 * Math.log10(power / (this.size / 4) ** 2 + 1e-12);
      return Math.max(0, Math.min(255, Math.round((255 * (level_db - FLOOR_DB)) / -FLOOR_DB)));
    });
  }

  /** Draw the spectrogram; paints only the columns added since the last call. */
  draw(canvas, minColumns = 200) {
    const colors = palette();
    const nColumns = Math.max(minColumns, this.columns.length);
    if (!this.painted || this.painted.width < nColumns || this.colors !== colors) {
      this.painted = blank(Math.max(nColumns, 2 * this.columns.length), N_BANDS);
      this.nPainted = 0;
      this.colors = colors;
      const ground = this.painted.getContext("2d");
      ground.fillStyle = color("--pg-heat-0");
      ground.fillRect(0, 0, this.painted.width, N_BANDS);
    }
    const nNew = this.columns.length - this.nPainted;
    if (nNew > 0) paint(this.painted, this.nPainted, nNew, N_BANDS, colors, (x, y) => this.columns[this.nPainted + x][N_BANDS - 1 - y]);
    this.nPainted = this.columns.length;
    const [context, width, height] = prepareCanvas(canvas);
    context.drawImage(this.painted, 0, 0, nColumns, N_BANDS, 0, 0, width, height);
  }
}

function blank(width, height) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [Math.max(1, width), Math.max(1, height)];
  return canvas;
}

const palettes = new Map();

/** Returns 256 colors from background over accent to foreground, cached per theme. */
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

/** Paint `nColumns` columns of levels 0 to 255 into a canvas, starting at column `first`. */
function paint(canvas, first, nColumns, height, colors, levelAt) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(nColumns, height);
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
  context.putImageData(image, first, 0);
}

/** Draw values from 0 to 1 as a heat map. */
export function heatMap(canvas, width, height, valueAt) {
  const small = blank(width, height);
  if (width && height) paint(small, 0, width, height, palette(), (x, y) => Math.round(255 * Math.max(0, Math.min(1, valueAt(x, y)))));
  const [context, wide, tall] = prepareCanvas(canvas);
  context.imageSmoothingEnabled = width > wide;
  context.drawImage(small, 0, 0, wide, tall);
}
