"""Rendered music as codes: each piece is encoded once per codec and kept as token shards beside the renders."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from backend.audio.files import read_audio
from backend.codec.base import CausalCodec
from backend.data.token_shards import NO_SYMBOL, CodedUtterance, ShardDataset, ShardSpec, ShardWriter
from backend.errors import BadSettings

MANIFEST = "manifest.jsonl"
PIECES_A_SHARD = 64


@dataclass(frozen=True, slots=True, eq=False)
class CodedPiece:
    """A piece's codes [K, T], its exact labels and captions that describe it."""

    id: str
    codes: np.ndarray
    labels: dict[str, Any]
    captions: tuple[str, ...]
    is_held_out: bool

    @property
    def n_frames(self) -> int:
        return self.codes.shape[1]


def encode_corpus(
    folder: Path, codec: CausalCodec, codes_sha256: str, codes_dir: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[ShardSpec, list[CodedPiece]]:  # fmt: skip
    """Returns every piece of a corpus of renders, encoding those that are not yet.

    Interrupted encoding resumes. Raises `BadSettings` for a folder without a manifest or with another sample rate.
    """
    rows = read_rows(folder)
    of_codec = codec.spec
    spec = ShardSpec(
        of_codec.name, codes_sha256, of_codec.sample_rate_hz, of_codec.hop_samples, of_codec.codebook_sizes
    )
    target = codes_dir or folder / f"codes-{codes_sha256[:12]}"
    writer = ShardWriter(target, spec)
    waiting = [row for row in rows if row["id"] not in writer.written]
    for start in range(0, len(waiting), PIECES_A_SHARD):
        shard = []
        for number, row in enumerate(waiting[start : start + PIECES_A_SHARD], start=start):
            if progress is not None:
                progress(number, len(waiting))
            codes = _encode(folder / row["path"], codec)
            alignment = np.full(codes.shape[1], NO_SYMBOL, np.int16)
            shard.append(CodedUtterance(row["id"], row["captions"][0], "", row["kind"], codes, alignment))
        writer.write(shard)
    codes_of = {item.id: item.codes for item in ShardDataset(target, codes_sha256)}
    pieces = [
        CodedPiece(row["id"], codes_of[row["id"]], row["labels"], tuple(row["captions"]), row["split"] != "train")
        for row in rows
    ]
    return spec, pieces


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """Returns the pieces listed in a folder of renders."""
    path = folder / MANIFEST
    if not path.is_file():
        raise BadSettings(
            f"'{folder.name}' has no {MANIFEST}; expected a folder of renders. Create one with 'phonogram music render-corpus'."
        )
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            _ = [row[name] for name in ("id", "path", "kind", "split", "labels", "captions")]
        except (ValueError, KeyError, TypeError) as error:
            raise BadSettings(
                f"Line {number} of {MANIFEST} is not a rendered piece ({type(error).__name__}). Render the folder again."
            ) from error
        rows.append(row)
    return rows


@torch.inference_mode()
def _encode(path: Path, codec: CausalCodec) -> np.ndarray:
    spec = codec.spec
    audio = read_audio(path)
    if audio.rate_hz != spec.sample_rate_hz:
        raise BadSettings(
            f"'{path.name}' has {audio.rate_hz} Hz; codec '{spec.name}' has {spec.sample_rate_hz} Hz. Render at its rate."
        )
    n_frames = -(-audio.n_samples // spec.hop_samples)
    samples = np.zeros((1, 1, n_frames * spec.hop_samples), np.float32)
    samples[0, 0, : audio.n_samples] = np.asarray(audio.samples).mean(axis=0)
    return codec.encode(torch.from_numpy(samples)).indices[0].numpy().astype(np.int16)
