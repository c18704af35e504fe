"""Training batches and validation utterances from token shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any

import numpy as np

from backend.data.token_batches import TokenBatches
from backend.data.token_shards import CodedUtterance, ShardDataset
from backend.errors import BadSettings
from backend.training.voice.batch import SequenceBuilder, TrainingSequence, VoiceBatch
from backend.training.voice.config import ShardBlock


class VoiceDataset:
    """`learned` and `validation` share no text; `unseen` are utterances of held-out speakers."""

    def __init__(self, block: ShardBlock, reader: SequenceBuilder, dataset: ShardDataset, unseen: ShardDataset | None):
        self.block, self.reader, self.dataset = block, reader, dataset
        usable = [i for i, item in enumerate(dataset) if reads(reader, item) and item.n_frames <= block.max_frames]
        # Selected by hash of the text, so the choice does not depend on the rest of the shards.
        ranked = sorted({dataset[i].text for i in usable}, key=lambda text: sha256(text.encode()).hexdigest())
        held = set(ranked[: block.n_validation])
        self.learned = [i for i in usable if dataset[i].text not in held]
        self.validation = [dataset[i] for i in usable if dataset[i].text in held][: 2 * block.n_validation]
        self.unseen = [item for item in unseen or () if reads(reader, item)]
        if not self.learned:
            raise BadSettings(
                f"None of the {len(dataset)} utterances is usable: with durations, at most {block.max_frames} "
                f"frames, and not among the {block.n_validation} held out. Tokenize more, or lower data.n_validation."
            )
        self.n_frames = sum(dataset[i].n_frames for i in self.learned)
        self._by_speaker: dict[str, list[CodedUtterance]] = {}
        for item in (*(dataset[i] for i in self.learned), *self.unseen):
            self._by_speaker.setdefault(item.speaker, []).append(item)

    def batches(self, seed: int) -> VoiceBatches:
        return VoiceBatches(self, seed)

    def of_speaker(self, speaker: str) -> list[CodedUtterance]:
        """Returns the utterances usable as references of a speaker."""
        return self._by_speaker.get(speaker, [])

    def reference(self, item: CodedUtterance, random: np.random.Generator) -> np.ndarray:
        """Returns a random crop of another utterance of the same speaker: codes [K, T]."""
        others = [other for other in self.of_speaker(item.speaker) if other.id != item.id] or [item]
        codes = others[int(random.integers(len(others)))].codes
        return self.piece(codes, random)

    def piece(self, codes: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Returns a random crop of codes [K, T] with a length from `reference_s`."""
        longest = round(random.uniform(*self.block.reference_s) * self.dataset.spec.frame_rate_hz)
        start = int(random.integers(max(codes.shape[1] - longest, 0) + 1))
        return codes[:, start : start + longest].astype(np.int64)

    def fixed_batches(self, items: Sequence[CodedUtterance], frames_per_batch: int) -> Iterator[VoiceBatch]:
        """Yields the same batches every time, shortest first."""
        random = np.random.default_rng(0)
        pending: list[CodedUtterance] = []
        for item in sorted(items, key=lambda item: (item.n_frames, item.id)):
            if pending and (len(pending) + 1) * item.n_frames > frames_per_batch:
                yield self._batch(pending, random)
                pending = []
            pending.append(item)
        if pending:
            yield self._batch(pending, random)

    def _batch(self, items: Sequence[CodedUtterance], random: np.random.Generator) -> VoiceBatch:
        return self.reader.batch(
            [self.reader.passage([item]) for item in items], [self.reference(item, random) for item in items]
        )


class VoiceBatches:
    """An endless stream of batches, determined by `state()` alone."""

    def __init__(self, dataset: VoiceDataset, seed: int):
        self.dataset = dataset
        self._subset = _Subset(dataset.dataset, dataset.learned)
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        block = self.dataset.block
        self.seed = seed % (1 << 63)
        self._stream = TokenBatches(
            self._subset, block.frames_per_batch, self.seed, max_frames=block.max_frames, is_aligned_only=True
        )

    @property
    def epoch(self) -> float:
        """Epochs since the start of the stream."""
        epoch, number = self._stream.position
        return epoch + number / self._stream.n_batches

    def next(self) -> VoiceBatch:
        dataset, reader = self.dataset, self.dataset.reader
        position = self._stream.position
        token_batch = self._stream.next()
        random = np.random.default_rng((self.seed, *position, 2))
        items = [self._subset.by_id[name] for name in token_batch.ids]
        passages: list[TrainingSequence] = []
        if len(items) > 1 and random.random() < dataset.block.join_probability:
            for item in items[: len(items) // 2]:
                others = dataset.of_speaker(item.speaker)
                passages.append(reader.passage([item, others[int(random.integers(len(others)))]]))
        else:
            passages = [reader.passage([item]) for item in items]
        references = [
            dataset.piece(codes[:, :n], random)
            for codes, n in zip(token_batch.reference_codes, token_batch.reference_frames, strict=True)
        ]
        return reader.batch(passages, references[: len(passages)])

    def state(self) -> dict[str, Any]:
        return {"seed": self.seed, "position": list(self._stream.position)}

    def restore(self, state: dict[str, Any]) -> None:
        self.reseed(state["seed"])
        epoch, number = state["position"]
        self._stream.position = (epoch, number)


class _Subset(Sequence[CodedUtterance]):
    """A subset of a dataset's utterances."""

    def __init__(self, dataset: ShardDataset, numbers: Sequence[int]):
        self._items = [dataset[i] for i in numbers]
        self.spec = dataset.spec
        self.speakers = tuple(sorted({item.speaker for item in self._items}))
        self.by_id = {item.id: item for item in self._items}
        self._by_speaker: dict[str, list[int]] = {}
        for number, item in enumerate(self._items):
            self._by_speaker.setdefault(item.speaker, []).append(number)
        self.n_frames = np.array([item.n_frames for item in self._items], np.int64)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, number: int) -> CodedUtterance:  # type: ignore[override]
        return self._items[number]

    def another_of(self, number: int, random: np.random.Generator) -> int:
        """Returns another utterance of the same speaker, or `number` itself if there is none."""
        others = [other for other in self._by_speaker[self._items[number].speaker] if other != number] or [number]
        return others[int(random.integers(len(others)))]


def reads(reader: SequenceBuilder, item: CodedUtterance) -> bool:
    """Returns whether a pointer can cover the utterance."""
    return item.is_aligned and item.n_frames * reader.max_advance >= len(item.symbols) + 2
