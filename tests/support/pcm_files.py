"""WAV and AIFF files made byte by byte, with the oddities that real ones have."""

import struct

import numpy as np

EXTENSIBLE_TAIL = bytes.fromhex("000000001000800000aa00389b71")


def pcm_bytes(samples, width, is_float=False, order="<"):
    """Interleaved bytes of samples [C, N]; integers of `width` bytes (one byte: unsigned), or floats."""
    values = np.ascontiguousarray(np.asarray(samples).T).reshape(-1)
    if is_float:
        return values.astype(f"{order}f{width}").tobytes()
    if width == 1:
        return (values + 128).astype(np.uint8).tobytes()
    raw = values.astype(f"{order}i4").view(np.uint8).reshape(-1, 4)
    return (raw[:, :width] if order == "<" else raw[:, 4 - width :]).tobytes()


def wav_bytes(
    samples,
    width=2,
    rate_hz=44100,
    *,
    is_float=False,
    is_extensible=False,
    size=None,
    before=b"",
    after=b"",
    kind=b"RIFF",
):
    """A WAV file of samples [C, N]. `size` replaces the data size; `before` and `after` are raw chunks."""
    channels = len(samples)
    content = pcm_bytes(samples, width, is_float)
    tag, frame = 3 if is_float else 1, channels * width
    fmt = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * frame % 2**32, frame, 8 * width)
    if is_extensible:
        fmt = struct.pack("<HHIIHH", 0xFFFE, *struct.unpack("<HHIIHH", fmt)[1:])
        fmt += struct.pack("<HHIH", 22, 8 * width, 0, tag) + EXTENSIBLE_TAIL
    pad = b"\0" if len(content) % 2 and size is None else b""
    body = chunk(b"fmt ", fmt) + before
    body += struct.pack("<4sI", b"data", len(content) if size is None else size) + content + pad + after
    return struct.pack("<4sI4s", kind, min(len(body) + 4, 2**32 - 1), b"WAVE") + body


def chunk(name, content):
    return struct.pack("<4sI", name, len(content)) + content + b"\0" * (len(content) % 2)


def aiff_bytes(samples, width=2, rate_hz=44100, coding=b""):
    """An AIFF file, or AIFC with `coding`."""
    channels, n = len(samples), len(samples[0])
    exponent = rate_hz.bit_length() - 1
    rate = struct.pack(">HQ", 16383 + exponent, rate_hz << (63 - exponent))
    common = struct.pack(">hIh", channels, n, 8 * width) + rate + (coding + b"\0\0" if coding else b"")
    is_float = coding.lower().startswith(b"fl")
    content = pcm_bytes(samples, width, is_float, "<" if coding == b"sowt" else ">")
    if width == 1:
        content = bytes(value ^ 128 for value in content)

    def big(name, body):
        return struct.pack(">4sI", name, len(body)) + body + b"\0" * (len(body) % 2)

    body = (b"AIFC" if coding else b"AIFF") + big(b"COMM", common) + big(b"SSND", bytes(8) + content)
    return struct.pack(">4sI", b"FORM", len(body)) + body


def music(n, channels=2, seed=0, scale=3000.0):
    """Something predictable: decaying tones with noise, partly shared by the channels. int32 [C, N]"""
    generator = np.random.default_rng(seed)
    t = np.arange(n)
    shared = sum(np.sin(t * f) * a for f, a in ((0.031, 1.0), (0.0871, 0.5), (0.33, 0.2)))
    noise = generator.normal(size=(channels, n)) * 0.01
    gains = 0.5 + generator.random(channels)[:, None]
    return np.round((shared * gains + noise) * scale).astype(np.int32)
