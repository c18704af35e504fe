"""Chunks of PCM bytes from WAV files at their own rate, for models of raw audio.

Samples stay integers throughout. 8-bit chunks are one byte a sample, 0...255 with 128 for silence; 16-bit chunks are
two bytes, little-endian, 0...65535 with 32768 for silence. Both are the same number for every bit depth of the file.
"""

from __future__ import annotations

import logging
import os
import random
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import soundfile

log = logging.getLogger(__name__)

NUM_CHUNKS = 488281
CHUNK_SIZE_BYTES = 2048
ALPHABET_SIZE = 256
ALPHABET_SIZE_16BIT = 65536
MIN_BLOCKING_SIZE = 512
DEFAULT_BLOCKING_SIZE = 1024
DEFAULT_AUDIO_CONFIG = {
    "use_16bit": False, "blocking_size": DEFAULT_BLOCKING_SIZE, "chunk_size_bytes": CHUNK_SIZE_BYTES
}  # fmt: skip


def get_custom_audio_iterator(
    audio_files: list[str], num_chunks: int = NUM_CHUNKS, use_16bit: bool = False,
    blocking_size: int = DEFAULT_BLOCKING_SIZE, chunk_size_bytes: int = CHUNK_SIZE_BYTES, seed: int | None = None,
) -> Iterator[bytes]:  # fmt: skip
    """Yield at most `num_chunks` chunks of `chunk_size_bytes` from WAV files, in an order drawn from `seed` if given.

    Files that cannot be read or have more than two channels are skipped with a warning. Raises `FileNotFoundError`
    for a missing file and `ValueError` for sizes that do not fit.
    """
    validate_audio_config(use_16bit, blocking_size, chunk_size_bytes)
    for file_path in audio_files:
        if not os.path.exists(file_path):
            raise FileNotFoundError(f"Audio file not found: {file_path}")
    files = list(audio_files)
    if seed is not None:
        random.Random(seed).shuffle(files)
    log.info("reading %d files, 16-bit=%s, blocks of %d samples", len(files), use_16bit, blocking_size)
    n_chunks = 0
    for file_path in files:
        if n_chunks >= num_chunks:
            break
        try:
            audio, rate_hz, n_channels = load_wav_file(file_path)
            content = convert_to_target_bit_depth(process_stereo_blocking(audio, blocking_size), use_16bit)
        except ValueError as error:
            log.warning("skipped %s: %s", file_path, error)
            continue
        log.debug("%s: %d channels, %d Hz, %d samples", file_path, n_channels, rate_hz, audio.shape[1])
        for chunk in extract_audio_chunks(content, chunk_size_bytes):
            if n_chunks >= num_chunks:
                break
            yield chunk
            n_chunks += 1
    if n_chunks < num_chunks:
        warnings.warn(
            f"Only generated {n_chunks} chunks out of requested {num_chunks}. Consider adding more audio files.",
            UserWarning, stacklevel=2,
        )  # fmt: skip


def load_wav_file(file_path: str) -> tuple[np.ndarray, int, int]:
    """Samples [C, N] as int32 whose highest bits are the file's own, the rate in Hz, and the number of channels.

    Floats beyond -1...1 are clipped with a warning. Raises `FileNotFoundError`, and `ValueError` for other files.
    """
    if not os.path.exists(file_path):
        raise FileNotFoundError(f"Audio file not found: {file_path}")
    if not file_path.lower().endswith(".wav"):
        raise ValueError(f"File must be a WAV file: {file_path}")
    try:
        with soundfile.SoundFile(file_path) as file:
            is_float = file.subtype in ("FLOAT", "DOUBLE")
            audio = file.read(dtype="float64" if is_float else "int32", always_2d=True).T
            rate_hz = file.samplerate
    except soundfile.LibsndfileError as error:
        raise ValueError(f"Error loading WAV file {file_path}: {error}") from error
    if is_float:
        if not np.isfinite(audio).all():
            raise ValueError(f"Error loading WAV file {file_path}: samples that are not finite")
        if audio.size and np.abs(audio).max() > 1.0:
            warnings.warn(f"{file_path} is louder than full scale and is clipped.", UserWarning, stacklevel=2)
        audio = np.clip(np.round(audio * 2.0**31), -(2**31), 2**31 - 1).astype(np.int32)
    return np.ascontiguousarray(audio), rate_hz, audio.shape[0]


def process_stereo_blocking(audio_data: np.ndarray, blocking_size: int) -> np.ndarray:
    """One channel as it is, two as blocks in turn: left block 1, right block 1, left block 2 ..."""
    channels, total_samples = audio_data.shape
    if channels == 1:
        return audio_data[0]
    if channels != 2:
        raise ValueError(f"Unsupported number of channels: {channels}; expected 1 or 2")
    starts = range(0, total_samples, blocking_size)
    blocks = [channel[start : start + blocking_size] for start in starts for channel in audio_data]
    return np.concatenate([audio_data[0][:0], *blocks])


def undo_stereo_blocking(blocked: np.ndarray, blocking_size: int, channels: int) -> np.ndarray:
    """Samples [C, N] that `process_stereo_blocking` made `blocked` of."""
    if channels == 1:
        return blocked[None]
    n = blocked.size // 2
    audio = np.zeros((2, n), blocked.dtype)
    at = 0
    for start in range(0, n, blocking_size):
        size = min(blocking_size, n - start)
        for channel in audio:
            channel[start : start + size] = blocked[at : at + size]
            at += size
    return audio


def convert_to_target_bit_depth(audio_data: np.ndarray, use_16bit: bool) -> bytes:
    """The highest 16 or 8 bits of int32 samples, unsigned; exact for files that have no more."""
    if use_16bit:
        return ((audio_data >> 16) + 32768).astype("<u2").tobytes()
    return ((audio_data >> 24) + 128).astype(np.uint8).tobytes()


def extract_audio_chunks(audio_bytes: bytes, chunk_size: int, keep_partial: bool = False) -> Iterator[bytes]:
    """Chunks of a fixed size; what is left at the end only with `keep_partial`, as compression needs it."""
    for i in range(0, len(audio_bytes), chunk_size):
        chunk = audio_bytes[i : i + chunk_size]
        if len(chunk) == chunk_size or keep_partial:
            yield chunk


def validate_blocking_size(blocking_size: int, chunk_size: int) -> None:
    """Warn where a chunk of `chunk_size` samples holds more than one pair of blocks, or begins within one."""
    if blocking_size * 2 < chunk_size:
        warnings.warn(
            f"Blocking size {blocking_size} is too small for chunk size {chunk_size}. Chunks will not contain complete "
            f"L/R block pairs. Consider increasing blocking_size to at least {chunk_size // 2}.",
            UserWarning, stacklevel=3,
        )  # fmt: skip
    elif chunk_size % (2 * blocking_size):
        log.debug("stereo chunks of %d samples hold parts of block pairs of %d", chunk_size, 2 * blocking_size)


def validate_audio_config(use_16bit: bool, blocking_size: int, chunk_size: int) -> None:
    """Check sizes: `blocking_size` in samples, `chunk_size` in bytes. Raises `ValueError`."""
    if blocking_size <= 0:
        raise ValueError(f"Blocking size must be positive, got {blocking_size}")
    if chunk_size <= 0:
        raise ValueError(f"Chunk size must be positive, got {chunk_size}")
    if use_16bit and chunk_size % 2:
        raise ValueError(f"For 16-bit audio, chunk_size must be even, got {chunk_size}")
    validate_blocking_size(blocking_size, chunk_size // 2 if use_16bit else chunk_size)


def tokens_of(chunk: bytes, use_16bit: bool, is_byte_level: bool = True) -> np.ndarray:
    """A chunk as token numbers (int64): its bytes, high byte first, or its samples where `is_byte_level` is off."""
    if not use_16bit:
        return np.frombuffer(chunk, np.uint8).astype(np.int64)
    samples = np.frombuffer(chunk, "<u2")
    return samples.astype(np.int64) if not is_byte_level else samples.astype(">u2").view(np.uint8).astype(np.int64)


GET_DATA_GENERATOR_FN_DICT: dict[str, Callable[..., Iterator[bytes]]] = {"custom_audio": get_custom_audio_iterator}
