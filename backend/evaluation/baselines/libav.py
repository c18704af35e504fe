"""MP3 and AAC baselines through the encoders that come with PyAV, and Vorbis through libsndfile."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
import soundfile

from backend.audio.resample import resample
from backend.audio.waveform import Waveform
from backend.errors import BadAudio, NotAvailable
from backend.evaluation.baselines.ogg_opus import ogg_packets
from backend.evaluation.codec.systems import CodedAudio

SAMPLE_FORMAT = "fltp"
N_VORBIS_HEADERS = 3


@dataclass(frozen=True, slots=True)
class LibavCodec:
    """An encoder of libav and the container its packets go into.

    `priming_samples`: silence at the beginning that the container does not announce to the decoder.
    """

    encoder: str
    container: str
    rates_hz: tuple[int, ...]
    priming_samples: int = 0


LIBAV_CODECS = {
    "mp3": LibavCodec("libmp3lame", "mp3", (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)),
    "aac": LibavCodec("aac", "adts", (16_000, 22_050, 24_000, 32_000, 44_100, 48_000), 1024),
}


class Libav:
    """One of `LIBAV_CODECS` at a target bitrate, mono, at the next rate it supports. Payload: the packets alone."""

    def __init__(self, codec: str, target_kbps: int):
        self.codec, self.target_kbps = LIBAV_CODECS[codec], target_kbps
        self.name = f"{codec}-{target_kbps}"
        try:
            av.codec.Codec(self.codec.encoder, "w")
        except av.codec.codec.UnknownCodecError as error:
            raise NotAvailable(
                f"This build of PyAV has no encoder {self.codec.encoder}. Install PyAV from its wheels."
            ) from error
        version = ".".join(map(str, av.library_versions["libavcodec"]))
        self.identity = f"libav-1 {codec} {target_kbps} {version}"

    def code(self, sound: Waveform) -> CodedAudio:
        rate_hz = min((rate for rate in self.codec.rates_hz if rate >= sound.rate_hz), default=self.codec.rates_hz[-1])
        samples = np.ascontiguousarray(resample(sound, rate_hz).samples)
        file = io.BytesIO()
        payload_bytes = 0
        try:
            output: Any  # the annotations of PyAV do not tell audio from video
            coded: Any
            with av.open(file, "w", format=self.codec.container) as output:
                stream = output.add_stream(self.codec.encoder, rate=rate_hz, layout="mono")
                stream.bit_rate = self.target_kbps * 1000
                fifo = av.AudioFifo()
                frame = av.AudioFrame.from_ndarray(samples, format=SAMPLE_FORMAT, layout="mono")
                frame.sample_rate, frame.pts = rate_hz, 0
                fifo.write(frame)
                size = stream.codec_context.frame_size or 1024
                packets: list[Any] = []
                while (piece := fifo.read(size, partial=True)) is not None:
                    packets += stream.encode(piece)
                for packet in [*packets, *stream.encode(None)]:
                    payload_bytes += packet.size
                    output.mux(packet)
            content = file.getvalue()
            with av.open(io.BytesIO(content)) as coded:
                pieces = [frame.to_ndarray().reshape(1, -1) for frame in coded.decode(audio=0)]
        except av.FFmpegError as error:
            raise BadAudio(f"{self.name} could not code this sound ({error}). Evaluate a longer one.") from error
        if not pieces:
            raise BadAudio(f"{self.name} returned no sound. Evaluate a longer one.")
        decoded = Waveform(np.concatenate(pieces, axis=1)[:, self.codec.priming_samples :].astype(np.float32), rate_hz)
        return CodedAudio(decoded, payload_bytes, len(content), min(rate_hz, sound.rate_hz) / 2)


class Vorbis:
    """Vorbis at its lowest quality, mono, at the rate of the sound. Payload: the audio packets alone."""

    name = "vorbis-lowest"

    def __init__(self) -> None:
        self.identity = f"vorbis-1 {soundfile.__libsndfile_version__}"

    def code(self, sound: Waveform) -> CodedAudio:
        file = io.BytesIO()
        soundfile.write(file, sound.samples[0], sound.rate_hz, format="OGG", subtype="VORBIS", compression_level=1.0)
        content = file.getvalue()
        file.seek(0)
        decoded, rate_hz = soundfile.read(file, dtype="float32")
        payload_bytes = sum(map(len, ogg_packets(content)[N_VORBIS_HEADERS:]))
        return CodedAudio(Waveform(decoded[None], rate_hz), payload_bytes, len(content), rate_hz / 2)
