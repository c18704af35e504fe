// PCM samples: read from bytes, written to WAV, and decoded from audio files.

/** Converts bytes that arrive in chunks of any length to complete 16-bit samples of all channels. */
export class SampleReader {
  constructor(nChannels) {
    this.frameBytes = 2 * nChannels;
    this.rest = new Uint8Array(0);
  }

  read(bytes) {
    const whole = new Uint8Array(this.rest.length + bytes.length);
    whole.set(this.rest);
    whole.set(bytes, this.rest.length);
    const end = whole.length - (whole.length % this.frameBytes);
    this.rest = whole.slice(end);
    return new Int16Array(whole.buffer.slice(0, end));
  }
}

/** Returns interleaved 16-bit samples as a WAV file. */
export function wavFile(samples, rateHz, nChannels) {
  const header = new DataView(new ArrayBuffer(44));
  const tag = (at, text) => [...text].forEach((letter, i) => header.setUint8(at + i, letter.charCodeAt(0)));
  tag(0, "RIFF");
  header.setUint32(4, 36 + samples.byteLength, true);
  tag(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true);
  header.setUint16(22, nChannels, true);
  header.setUint32(24, rateHz, true);
  header.setUint32(28, rateHz * nChannels * 2, true);
  header.setUint16(32, nChannels * 2, true);
  header.setUint16(34, 16, true);
  tag(36, "data");
  header.setUint32(40, samples.byteLength, true);
  return new Blob([header, samples], { type: "audio/wav" });
}

/** Concatenates arrays of samples. */
export function concatenate(chunks) {
  const whole = new Int16Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

/** Decodes any audio file the browser supports: { samples, rateHz, nChannels }, interleaved 16-bit. */
export async function decodeAudio(blob, rateHz = 24000) {
  const context = new OfflineAudioContext(1, 1, rateHz);
  const buffer = await context.decodeAudioData(await blob.arrayBuffer());
  const nChannels = buffer.numberOfChannels;
  const samples = new Int16Array(buffer.length * nChannels);
  for (let c = 0; c < nChannels; c++) {
    const channel = buffer.getChannelData(c);
    for (let n = 0; n < channel.length; n++) {
      samples[n * nChannels + c] = Math.max(-32768, Math.min(32767, Math.round(channel[n] * 32768)));
    }
  }
  return { samples, rateHz, nChannels };
}

/** Returns the sample rate of a FLAC file from its first block; 24000 for any other file. */
export function flacRate(bytes) {
  const isFlac = String.fromCharCode(...bytes.subarray(0, 4)) === "fLaC";
  return isFlac ? (bytes[18] << 12) | (bytes[19] << 4) | (bytes[20] >> 4) : 24000;
}
