"""Feed damaged audio files to `read_audio`, in a separate process since a decoder may crash.

An argument multiplies the number of cases: `python -m tests.support.audio_fuzz 30`.

Prints one JSON line with the outcomes per format. Exits with a signal or status 1 if a case crashes, hangs, or raises
anything but a `PhonogramError`; the case is then printed to stderr.
"""

from __future__ import annotations

import faulthandler
import io
import json
import sys
from collections import Counter

import numpy as np
import soundfile

from backend.audio.files import read_audio
from backend.data import synthetic
from backend.errors import PhonogramError

CASES = {"wav": 340, "mp3": 340, "flac": 120, "vorbis": 60, "opus": 60}
CODINGS = {
    "wav": [("WAV", "PCM_16"), ("WAV", "PCM_U8"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("RF64", "PCM_16")],
    "mp3": [("MP3", "MPEG_LAYER_III")],
    "flac": [("FLAC", "PCM_16"), ("FLAC", "PCM_24")],
    "vorbis": [("OGG", "VORBIS")],
    "opus": [("OGG", "OPUS")],
}
MAX_CASE_S = 5.0
MAX_DURATION_S = 20.0
LIES = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\1\0\0\0", b"\xfe\xff\xff\xff"]


def encoded(container: str, coding: str, n_channels: int) -> bytes:
    file = io.BytesIO()
    samples = np.repeat(synthetic.speech_like(0.3, 24000).T, n_channels, axis=1)
    soundfile.write(file, samples, 24000, coding, format=container)
    return file.getvalue()


def mutated(content: bytes, other: bytes, draw: np.random.Generator) -> bytes:
    """Apply one kind of damage: flipped bits, truncation, a splice, a false header value, a repeat, or noise."""
    damaged = bytearray(content)
    kind = draw.integers(7)
    if kind == 0:
        for at in draw.integers(len(damaged), size=draw.integers(1, 40)):
            damaged[at] ^= 1 << draw.integers(8)
    elif kind == 1:
        del damaged[draw.integers(len(damaged)) :]
    elif kind == 2:
        damaged[draw.integers(len(damaged)) :] = other[draw.integers(len(other)) :]
    elif kind == 3:
        at = draw.integers(min(len(damaged), 120))
        damaged[at : at + 4] = LIES[draw.integers(len(LIES))]
    elif kind == 4:
        for at in draw.integers(min(len(damaged), 120), size=draw.integers(1, 6)):
            damaged[at] = draw.integers(256)
    elif kind == 5:
        a, b = sorted(draw.integers(len(damaged), size=2))
        damaged[b:b] = damaged[a:b] * draw.integers(1, 4)
    else:
        a, b = sorted(draw.integers(len(damaged), size=2))
        damaged[a:b] = draw.integers(0, 256, b - a, dtype=np.uint8).tobytes()
    return bytes(damaged)


def resealed(content: bytes) -> bytes:
    """Correct the checksums of the Ogg pages, so that damage reaches the decoder."""
    sealed = bytearray(content)
    page = sealed.find(b"OggS")
    while 0 <= page <= len(sealed) - 27:
        lacing = sealed[page + 27 : page + 27 + sealed[page + 26]]
        end = min(page + 27 + len(lacing) + sum(lacing), len(sealed))
        sealed[page + 22 : page + 26] = bytes(4)
        checksum = 0
        for byte in sealed[page:end]:
            checksum = (checksum << 8 & 0xFFFFFFFF) ^ OGG_CHECKSUMS[checksum >> 24 ^ byte]
        sealed[page + 22 : page + 26] = checksum.to_bytes(4, "little")
        page = sealed.find(b"OggS", end)
    return bytes(sealed)


def ogg_checksum(value: int) -> int:
    for _ in range(8):
        value = (value << 1 & 0xFFFFFFFF) ^ (0x04C11DB7 if value & 0x80000000 else 0)
    return value


OGG_CHECKSUMS = [ogg_checksum(value << 24) for value in range(256)]


def outcome(content: bytes) -> str:
    try:
        waveform = read_audio(content, max_duration_s=MAX_DURATION_S, max_bytes=64 * 2**20)
    except PhonogramError as error:
        return type(error).__name__
    waveform.require_finite()
    assert 0 < waveform.duration_s <= MAX_DURATION_S, waveform.duration_s
    return "Waveform"


def main(times: int) -> None:
    sound = {name: [encoded(*pair, n) for pair in pairs for n in (1, 2)] for name, pairs in CODINGS.items()}
    everything = [content for contents in sound.values() for content in contents]
    report: dict[str, Counter] = {}
    for name, n_cases in CASES.items():
        report[name] = Counter()
        for index in range(n_cases * times):
            draw = np.random.default_rng([index, len(name), ord(name[0])])
            content = sound[name][index % len(sound[name])]
            other = everything[draw.integers(len(everything))]
            damaged = mutated(content, other, draw)
            if name in ("vorbis", "opus") and index % 4:
                damaged = resealed(damaged)
            # A hang in native code is not interrupted by Python; this ends the process with a traceback.
            faulthandler.dump_traceback_later(MAX_CASE_S, exit=True)
            try:
                report[name][outcome(damaged)] += 1
            except BaseException:
                sys.stderr.write(f"case {index} of {name}\n")
                raise
            faulthandler.cancel_dump_traceback_later()
    print(json.dumps(report))


if __name__ == "__main__":
    faulthandler.enable()
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
