"""Chunks of raw audio in memory, as numbers, with what FLAC needs for the held-out ones."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile

from backend.data.datasets.pcm_chunks import get_custom_audio_iterator, load_wav_file
from backend.data.datasets.pcm_paths import get_train_paths, get_valid_paths
from backend.errors import BadAudio
from backend.training.lossless.config import PcmBlock

_FLAC_LEVEL_5 = 0.625  # of libsndfile's 0...1


@dataclass(frozen=True, slots=True)
class PcmDataset:
    """`train`, `valid`: chunks [n, bytes] (uint8); `facts`: what is logged about them."""

    train: np.ndarray
    valid: np.ndarray
    facts: dict[str, Any]


def open_pcm_dataset(block: PcmBlock, seed: int) -> PcmDataset:
    """Read the WAV files below `block.dir`. Raises `BadAudio` where there is too little to train or to validate."""
    try:
        train_files, valid_files = (
            get_train_paths(block.dir, block.valid_share),
            get_valid_paths(block.dir, block.valid_share),
        )
    except FileNotFoundError as error:
        raise BadAudio(str(error)) from error
    train = _chunks(train_files, block, block.num_chunks, seed)
    valid = _chunks(valid_files, block, block.n_validation, seed)
    if not len(train) or not len(valid):
        raise BadAudio(
            f"The folder gives {len(train)} chunks to train and {len(valid)} to validate from {len(train_files)} and "
            f"{len(valid_files)} files; expected one or more. Add WAV files, or change data.valid_share."
        )
    facts = {
        "num_files": len(train_files), "num_valid_files": len(valid_files), "use_16bit": block.use_16bit,
        "blocking_size": block.blocking_size, "total_chunks": len(train), "valid_chunks": len(valid),
        "chunk_size_bytes": block.chunk_size_bytes, "flac_bits_per_byte": flac_bits_per_byte(valid_files, block.use_16bit),
    }  # fmt: skip
    return PcmDataset(train, valid, facts)


def flac_bits_per_byte(files: list[str], use_16bit: bool) -> float:
    """Bits that FLAC level 5 needs for each byte of the files at 8 or 16 bits, its own headers left out."""
    n_coded = n_bytes = 0
    for path in files:
        audio, rate_hz, _ = load_wav_file(path)
        file = io.BytesIO()
        # The highest bits are what FLAC keeps.
        kind = "PCM_16" if use_16bit else "PCM_S8"
        soundfile.write(
            file, audio.T, min(rate_hz, 655350), format="FLAC", subtype=kind, compression_level=_FLAC_LEVEL_5
        )
        content = file.getvalue()
        at = 4
        while at < len(content):
            is_last = content[at] & 0x80
            at += 4 + int.from_bytes(content[at + 1 : at + 4], "big")
            if is_last:
                break
        n_coded += len(content) - at
        n_bytes += audio.size * (2 if use_16bit else 1)
    return 8 * n_coded / max(n_bytes, 1)


def _chunks(files: list[str], block: PcmBlock, n: int, seed: int) -> np.ndarray:
    with warnings.catch_warnings():
        # Fewer chunks than the limit is the usual case here, and the number is logged.
        warnings.filterwarnings("ignore", message="Only generated")
        found = list(
            get_custom_audio_iterator(files, n, block.use_16bit, block.blocking_size, block.chunk_size_bytes, seed)
        )
    return np.frombuffer(b"".join(found), np.uint8).reshape(len(found), block.chunk_size_bytes)
