"""Batches of encoded utterances of similar length, in a resumable order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.data.token_shards import NO_SYMBOL, CodedUtterance, ShardDataset
from backend.errors import BadSettings

# Lengths are sorted within pools of this many batches: little padding, with a new mix each epoch.
POOL_BATCHES = 32


@dataclass(frozen=True, slots=True, eq=False)
class TokenBatch:
    """Padded utterances: `codes` [B, K, T] int64 (0 after the end), `n_frames` [B], `alignment` [B, T] (`NO_SYMBOL`
    after the end), `symbols` and `speaker_index` [B].

    `reference_codes` [B, K, R] are other utterances of the same speakers (the same one if there is no other), padded
    likewise.
    """

    ids: tuple[str, ...]
    symbols: tuple[str, ...]
    codes: np.ndarray
    n_frames: np.ndarray
    alignment: np.ndarray
    speaker_index: np.ndarray
    reference_codes: np.ndarray
    reference_frames: np.ndarray


class TokenBatches:
    """An endless stream of batches of at most `frames_per_batch` padded frames; each epoch has every utterance once.

    Dataset, options and seed determine the stream; setting `position` seeks in it.
    """

    def __init__(
        self, dataset: ShardDataset, frames_per_batch: int, seed: int = 0, *, max_frames: int | None = None,
        max_reference_frames: int = 250, is_aligned_only: bool = False,
    ) -> None:  # fmt: skip
        """Utterances longer than `max_frames` (default: `frames_per_batch`) are left out. References are cropped at a
        random place to `max_reference_frames`. Raises `BadSettings` if nothing is left.
        """
        limit = min(max_frames or frames_per_batch, frames_per_batch)
        self.dataset, self.frames_per_batch, self.seed = dataset, frames_per_batch, seed
        self.max_reference_frames = max_reference_frames
        self._speaker_index = {speaker: number for number, speaker in enumerate(dataset.speakers)}
        self._used = np.array([
            number for number, item in enumerate(dataset)
            if 0 < item.n_frames <= limit and (item.is_aligned or not is_aligned_only)
        ], np.int64)  # fmt: skip
        if not len(self._used):
            raise BadSettings(
                f"None of the {len(dataset)} utterances has at most {limit} frames"
                f"{' and durations' if is_aligned_only else ''}. Raise the limit, or tokenize other data."
            )
        self._epoch, self._next = 0, 0
        self._plan = self._planned(0)

    @property
    def position(self) -> tuple[int, int]:
        """Epoch, and the number of its next batch."""
        return self._epoch, self._next

    @position.setter
    def position(self, position: tuple[int, int]) -> None:
        self._epoch, self._next = position
        self._plan = self._planned(self._epoch)

    @property
    def n_left_out(self) -> int:
        return len(self.dataset) - len(self._used)

    @property
    def n_batches(self) -> int:
        """Number of batches in the current epoch."""
        return len(self._plan)

    def next(self) -> TokenBatch:
        """Returns the batch at `position` and advances."""
        if self._next >= len(self._plan):
            self.position = (self._epoch + 1, 0)
        numbers = self._plan[self._next]
        random = np.random.default_rng((self.seed, self._epoch, 1, self._next))
        self._next += 1
        references = [self._reference(int(number), random) for number in numbers]
        return self._batch([self.dataset[int(number)] for number in numbers], references)

    def _planned(self, epoch: int) -> list[np.ndarray]:
        """Returns the utterance numbers of each batch of an epoch."""
        random = np.random.default_rng((self.seed, epoch, 0))
        order = random.permutation(self._used)
        lengths = self.dataset.n_frames
        pool_size = max(1, round(POOL_BATCHES * self.frames_per_batch / float(lengths[self._used].mean())))
        batches = []
        for start in range(0, len(order), pool_size):
            pool = order[start : start + pool_size]
            pool = pool[np.argsort(lengths[pool], kind="stable")]
            first = 0
            for i in range(1, len(pool) + 1):
                if i == len(pool) or lengths[pool[i]] * (i + 1 - first) > self.frames_per_batch:
                    batches.append(pool[first:i])
                    first = i
        return [batches[i] for i in random.permutation(len(batches))]

    def _reference(self, number: int, random: np.random.Generator) -> np.ndarray:
        codes = self.dataset[self.dataset.another_of(number, random)].codes
        spare = max(codes.shape[1] - self.max_reference_frames, 0)
        start = int(random.integers(spare + 1))
        return codes[:, start : start + self.max_reference_frames]

    def _batch(self, items: list[CodedUtterance], references: list[np.ndarray]) -> TokenBatch:
        n_frames = np.array([item.n_frames for item in items], np.int64)
        alignment = np.full((len(items), int(n_frames.max())), NO_SYMBOL, np.int64)
        for row, item in enumerate(items):
            alignment[row, : item.n_frames] = item.alignment
        return TokenBatch(
            ids=tuple(item.id for item in items),
            symbols=tuple(item.symbols for item in items),
            codes=_padded([item.codes for item in items]),
            n_frames=n_frames,
            alignment=alignment,
            speaker_index=np.array([self._speaker_index[item.speaker] for item in items], np.int64),
            reference_codes=_padded(references),
            reference_frames=np.array([codes.shape[1] for codes in references], np.int64),
        )


def _padded(items: list[np.ndarray]) -> np.ndarray:
    """Pads codes [K, T] of several lengths to one [B, K, T], with zeros after the end."""
    padded = np.zeros((len(items), items[0].shape[0], max(codes.shape[1] for codes in items)), np.int64)
    for row, codes in enumerate(items):
        padded[row, :, : codes.shape[1]] = codes
    return padded
