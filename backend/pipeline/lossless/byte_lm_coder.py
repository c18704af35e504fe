"""Bytes of PCM through a byte model and an arithmetic coder, and back.

Encoder and decoder run the same step on the same shapes: a fixed number of chunks side by side, one token at a time,
with the attention's past kept. Probabilities are integers, but the network is not: a file decodes with the model and
the build of PyTorch that wrote it, and says so in its header.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import numpy as np
import torch

from backend.compression.entropy.frequency_table import quantized, starts_of
from backend.compression.entropy.range_coder import RangeDecoder, RangeEncoder
from backend.data.datasets.pcm_chunks import CHUNK_SIZE_BYTES, tokens_of
from backend.errors import BadContainer, BadRequest
from backend.lm.byte_lm import ALPHABET_SIZE, ByteLM
from backend.weights.byte_lm_checkpoint import byte_lm_hash

MAGIC = b"\x89PBL"
VERSION = 1
BATCH = 16
_HEADER = struct.Struct("<4sBB16s16sQIHI")  # magic, version, 16-bit, model, build, bytes, chunk, batch, CRC of the data
_LENGTH = struct.Struct("<I")
MAX_BYTES = 1 << 40


def compress_audio(
    data: bytes, model: ByteLM, use_16bit: bool = False, return_num_padded_bits: bool = False,
    chunk_size_bytes: int = CHUNK_SIZE_BYTES,
) -> bytes | tuple[bytes, int]:  # fmt: skip
    """The coded bytes of `data`, 8-bit samples or little-endian unsigned 16-bit ones; any length.

    Chunks are coded apart from each other. `return_num_padded_bits` adds the bits that fill the last byte, which are 0
    here: the coder writes whole bytes and the header holds the length.
    """
    width = 2 if use_16bit else 1
    if len(data) % width or chunk_size_bytes % width or chunk_size_bytes < width:
        raise BadRequest(
            f"Got {len(data)} bytes in chunks of {chunk_size_bytes}; expected whole samples of {width} bytes."
        )
    coded = []
    for start in range(0, len(data), chunk_size_bytes * BATCH):
        chunks = [
            data[at : min(at + chunk_size_bytes, start + chunk_size_bytes * BATCH)]
            for at in range(start, min(len(data), start + chunk_size_bytes * BATCH), chunk_size_bytes)
        ]
        coded += _encode(chunks, model, use_16bit)
    header = _HEADER.pack(
        MAGIC, VERSION, use_16bit, byte_lm_hash(model), _build(), len(data), chunk_size_bytes, BATCH, zlib.crc32(data)
    )
    content = header + b"".join(_LENGTH.pack(len(part)) + part for part in coded)
    return (content, 0) if return_num_padded_bits else content


def decompress_audio(content: bytes, model: ByteLM) -> bytes:
    """The bytes that `compress_audio` was given. Raises `BadContainer` for damage, another model or another build."""
    if len(content) < _HEADER.size or content[:4] != MAGIC:
        raise BadContainer("This is not a file that compress_audio wrote. Name another one.")
    _, version, use_16bit, written_by, build, n_bytes, chunk_size, batch, crc = _HEADER.unpack_from(content)
    if version != VERSION or batch != BATCH or n_bytes > MAX_BYTES or not 0 < chunk_size <= 1 << 24:
        raise BadContainer(
            f"The file has version {version} with {batch} chunks side by side; expected {VERSION} and {BATCH}."
        )
    if written_by != byte_lm_hash(model):
        raise BadContainer(
            f"The file was written with model {written_by.hex()[:8]}; loaded is {byte_lm_hash(model).hex()[:8]}."
        )
    if build != _build():
        raise BadContainer(
            f"The file was written with PyTorch {build.rstrip(bytes(1)).decode('ascii', 'replace')}. Use that one."
        )
    parts, at = [], _HEADER.size
    sizes = [min(chunk_size, n_bytes - start) for start in range(0, n_bytes, chunk_size)]
    for _ in sizes:
        if at + _LENGTH.size > len(content):
            raise BadContainer("The file ends too early. Copy it again.")
        (n_part,) = _LENGTH.unpack_from(content, at)
        parts.append(content[at + _LENGTH.size : at + _LENGTH.size + n_part])
        at += _LENGTH.size + n_part
    if at != len(content):
        raise BadContainer("The file does not end with its last chunk. Copy it again.")
    data = b"".join(
        chunk
        for start in range(0, len(sizes), BATCH)
        for chunk in _decode(parts[start : start + BATCH], sizes[start : start + BATCH], model, bool(use_16bit))
    )
    if zlib.crc32(data) != crc:
        raise BadContainer("The decoded bytes do not have the checksum of the file. Copy it again.")
    return data


def _encode(chunks: list[bytes], model: ByteLM, use_16bit: bool) -> list[bytes]:
    is_byte_level = model.config.vocab_size == ALPHABET_SIZE
    rows = [tokens_of(chunk, use_16bit, is_byte_level) for chunk in chunks]
    encoders = [RangeEncoder(8 * len(chunk) + 64) for chunk in chunks]
    bits = _bits(model)

    def take(row: int, step: int, frequencies: np.ndarray, starts: np.ndarray) -> int:
        token = int(rows[row][step])
        encoders[row].push(int(starts[token]), int(frequencies[token]), bits)
        return token

    _run(model, [len(row) for row in rows], take)
    return [encoder.finish() for encoder in encoders]


def _decode(parts: list[bytes], sizes: list[int], model: ByteLM, use_16bit: bool) -> list[bytes]:
    is_byte_level = model.config.vocab_size == ALPHABET_SIZE
    lengths = [size if is_byte_level else size // 2 for size in sizes]
    rows = [np.zeros(length, np.int64) for length in lengths]
    decoders = [RangeDecoder(part) for part in parts]
    bits = _bits(model)

    def take(row: int, step: int, frequencies: np.ndarray, starts: np.ndarray) -> int:
        token = int(np.searchsorted(starts, decoders[row].point(bits), side="right")) - 1
        decoders[row].take(int(starts[token]), int(frequencies[token]), bits)
        rows[row][step] = token
        return token

    _run(model, lengths, take)
    if not use_16bit:
        return [row.astype(np.uint8).tobytes() for row in rows]
    if is_byte_level:
        return [row.astype(np.uint8).view(">u2").astype("<u2").tobytes() for row in rows]
    return [row.astype("<u2").tobytes() for row in rows]


@torch.inference_mode()
def _run(model: ByteLM, lengths: list[int], take: Callable[[int, int, np.ndarray, np.ndarray], int]) -> None:
    """Step through chunks side by side; `take` codes a row's token. Always BATCH rows, so shapes never differ."""
    state = model.init_state(BATCH)
    previous: torch.Tensor | None = None
    for step in range(max(lengths, default=0)):
        probabilities = model.step(previous, state).double().softmax(dim=-1).numpy()
        frequencies = quantized(probabilities, _bits(model))
        starts = starts_of(frequencies)
        previous = torch.zeros(BATCH, dtype=torch.long)
        for row, length in enumerate(lengths):
            if step < length:
                previous[row] = take(row, step, frequencies[row], starts[row])


def _bits(model: ByteLM) -> int:
    return 16 if model.config.vocab_size == ALPHABET_SIZE else 22


def _build() -> bytes:
    return torch.__version__.encode()[:16].ljust(16, b"\0")
