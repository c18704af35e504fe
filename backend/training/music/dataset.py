"""Training batches from encoded pieces: random crops with their labels, some of them left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from backend.data.token_shards import ShardSpec
from backend.errors import BadSettings
from backend.music.conditioning import FIELDS, SIDE_SIZES, frame_ids, piece_vector
from backend.training.music.config import CorpusBlock
from backend.training.music.corpus import CodedPiece


class MusicBatch(NamedTuple):
    """B crops of S frames; position s of the input is frame s - 1 with the labels of frame s, which it predicts."""

    tokens: Tensor  # [B, R, S]
    side: Tensor  # [B, S, n_side]
    conditioning: Tensor  # [B, CONDITIONING_DIM]
    codes: Tensor  # [B, S, K]


class MusicDataset:
    """The first `n_codebooks` codes of every piece. `validation` are held-out pieces."""

    def __init__(self, block: CorpusBlock, spec: ShardSpec, pieces: Sequence[CodedPiece], n_codebooks: int):
        if n_codebooks > len(spec.codebook_sizes):
            raise BadSettings(
                f"model.n_codebooks is {n_codebooks}; codec '{spec.codec}' has {len(spec.codebook_sizes)}. Lower it."
            )
        self.block, self.spec, self.n_codebooks = block, spec, n_codebooks
        self.codebook_size = max(spec.codebook_sizes[:n_codebooks])
        # Main ids: the codes of the first codebook, then the end, then the beginning.
        self.end_id, self.begin_id = self.codebook_size, self.codebook_size + 1
        usable = [piece for piece in pieces if piece.n_frames >= block.crop_frames and piece.labels.get("tempo_bpm")]
        self.learned = [piece for piece in usable if not piece.is_held_out]
        self.validation = sorted((p for p in usable if p.is_held_out), key=lambda p: p.id)[: block.n_validation]
        if not self.learned:
            raise BadSettings(
                f"None of the {len(pieces)} pieces is for training and has data.crop_frames={block.crop_frames} frames "
                "or more. Render longer pieces, or lower it."
            )
        self.n_frames = sum(piece.n_frames for piece in self.learned)
        lengths = np.array([piece.n_frames for piece in self.learned], np.float64)
        self.shares = lengths / lengths.sum()

    def batches(self, seed: int) -> MusicBatches:
        return MusicBatches(self, seed)

    def training_batch(self, random: np.random.Generator, crop_frames: int) -> MusicBatch:
        """Random crops of random pieces; longer pieces are taken more often."""
        block, rows = self.block, []
        for index in random.choice(len(self.learned), block.batch, p=self.shares):
            piece = self.learned[index]
            first = 0
            if random.random() >= block.beginning_probability:
                first = int(random.integers(piece.n_frames - crop_frames + 1))
            dropped = {name for name in FIELDS if random.random() < block.field_drop}
            caption = piece.captions[int(random.integers(len(piece.captions)))]
            if random.random() < block.caption_drop:
                caption = ""
            if random.random() < block.all_drop:
                dropped, caption = set(FIELDS), ""
            rows.append(self._row(piece, piece, first, crop_frames, dropped, caption))
        return _stacked(rows)

    def fixed_batches(self, *, is_shuffled: bool = False) -> Iterator[MusicBatch]:
        """Yields the beginning of each validation piece with all its labels, or with those of another piece."""
        others = self.validation[1:] + self.validation[:1] if is_shuffled else self.validation
        rows = [
            self._row(piece, other, 0, self.block.crop_frames, set(), other.captions[0])
            for piece, other in zip(self.validation, others, strict=True)
        ]
        for start in range(0, len(rows), self.block.batch):
            yield _stacked(rows[start : start + self.block.batch])

    def _row(
        self, piece: CodedPiece, described: CodedPiece, first: int, n_frames: int, dropped: set[str], caption: str
    ) -> tuple[np.ndarray, ...]:
        K = self.n_codebooks
        codes = piece.codes[:K, first : first + n_frames].astype(np.int64)
        tokens = np.zeros((1 + K, n_frames), np.int64)
        tokens[0, 0] = self.begin_id
        if first:
            tokens[1:, 0] = piece.codes[:K, first - 1]
            tokens[0, 0] = tokens[1, 0]
        tokens[0, 1:], tokens[1:, 1:] = codes[0, :-1], codes[:, :-1]
        side = frame_ids(described.labels, first, n_frames, self.spec.frame_rate_hz, dropped)
        return tokens, side, piece_vector(described.labels, caption, dropped), codes.T


class MusicBatches:
    """An endless stream of batches, determined by `state()` and the crop lengths alone."""

    def __init__(self, dataset: MusicDataset, seed: int):
        self.dataset = dataset
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        self.seed, self.position = seed % (1 << 63), 0

    def next(self, crop_frames: int) -> MusicBatch:
        random = np.random.default_rng((self.seed, self.position))
        self.position += 1
        return self.dataset.training_batch(random, crop_frames)

    def state(self) -> dict[str, Any]:
        return {"seed": self.seed, "position": self.position}

    def restore(self, state: dict[str, Any]) -> None:
        self.seed, self.position = state["seed"], state["position"]


def _stacked(rows: Sequence[tuple[np.ndarray, ...]]) -> MusicBatch:
    batch = MusicBatch(*(torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)))
    assert batch.side.shape[2] == len(SIDE_SIZES), batch.side.shape
    return batch
