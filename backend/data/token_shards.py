"""Token shards: encoded utterances on disk, so that training reads codes instead of audio.

A folder holds `shard-NNNNN.safetensors` and `index.json`. A shard has `codes` [K, T] and `alignment` [T] (int16,
utterances concatenated along T; -1 without durations) and one metadata row per utterance in its header. The index lists
codec, frame rate and every shard with its SHA-256; it is replaced after each shard, so interrupted writing resumes.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from backend.atomic_file import write_atomically
from backend.errors import BadContainer, OutputError

FORMAT = 1
INDEX = "index.json"
NO_SYMBOL = -1


@dataclass(frozen=True, slots=True)
class ShardSpec:
    """The codec of a folder's codes. `codes_sha256` identifies it."""

    codec: str
    codes_sha256: str
    sample_rate_hz: int
    hop_samples: int
    codebook_sizes: tuple[int, ...]

    @property
    def frame_rate_hz(self) -> float:
        return self.sample_rate_hz / self.hop_samples


@dataclass(frozen=True, slots=True, eq=False)
class CodedUtterance:
    """One utterance: `codes` [K, T] int16; `alignment` [T] int16 is 0 for the leading silence, then `symbols` from 1,
    and len(symbols) + 1 for the trailing silence; all `NO_SYMBOL` if unknown.
    """

    id: str
    text: str
    symbols: str
    speaker: str
    codes: np.ndarray
    alignment: np.ndarray

    @property
    def n_frames(self) -> int:
        return self.codes.shape[1]

    @property
    def is_aligned(self) -> bool:
        return bool(self.n_frames) and int(self.alignment[0]) != NO_SYMBOL


class ShardWriter:
    """Adds shards to a folder. `written` are the ids of existing utterances."""

    def __init__(self, folder: Path, spec: ShardSpec) -> None:
        """Raises `BadContainer` if the folder has codes of another codec or is damaged."""
        self.folder, self.spec = folder, spec
        self._shards: list[dict[str, Any]] = []
        self.written: set[str] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"Folder '{folder.name}' cannot be created ({error.strerror}). Choose another."
            ) from error
        if (folder / INDEX).is_file():
            stored, self._shards = _read_index(folder)
            if stored != spec:
                raise BadContainer(
                    f"'{folder.name}' has codes of '{stored.codec}' ({stored.codes_sha256[:12]}); this codec is "
                    f"'{spec.codec}' ({spec.codes_sha256[:12]}). Choose another folder, or delete that one."
                )
            for shard in self._shards:
                self.written |= {row["id"] for row in _open_shard(folder, shard)[2]}

    def write(self, utterances: Sequence[CodedUtterance]) -> None:
        """Writes one more shard atomically."""
        rows: list[dict[str, Any]] = []
        first = 0
        for item in utterances:
            rows.append({"id": item.id, "text": item.text, "symbols": item.symbols, "speaker": item.speaker,
                         "first_frame": first, "n_frames": item.n_frames})  # fmt: skip
            first += item.n_frames
        tensors = {
            "codes": np.concatenate([item.codes for item in utterances], axis=1).astype(np.int16),
            "alignment": np.concatenate([item.alignment for item in utterances]).astype(np.int16),
        }
        content = save(tensors, metadata={"rows": json.dumps(rows, ensure_ascii=False)})
        name = f"shard-{len(self._shards):05d}.safetensors"
        self._shards.append({"file": name, "sha256": hashlib.sha256(content).hexdigest(),
                             "n_utterances": len(rows), "n_frames": first})  # fmt: skip
        index = {"format": FORMAT, **asdict(self.spec), "shards": self._shards}
        _replace(self.folder / name, content)
        _replace(self.folder / INDEX, (json.dumps(index, indent=1) + "\n").encode())
        self.written |= {row["id"] for row in rows}


class ShardDataset(Sequence[CodedUtterance]):
    """The utterances of one or more shard folders of one codec, in a fixed order, held in memory (16 bytes per frame of
    8 codebooks: 1.4 MB an hour at 25 Hz).
    """

    def __init__(self, folders: Path | Iterable[Path], codes_sha256: str | None = None) -> None:
        """`codes_sha256`: the required codec. Raises `BadContainer` for another one, and for damage."""
        folders = [folders] if isinstance(folders, Path) else list(folders)
        if not folders:
            raise BadContainer("No folder of token shards was passed. Create one with 'phonogram data tokenize'.")
        self._items: list[CodedUtterance] = []
        specs = []
        for folder in folders:
            spec, shards = _read_index(folder)
            specs.append(spec)
            expected = codes_sha256 or specs[0].codes_sha256
            if spec.codes_sha256 != expected:
                raise BadContainer(
                    f"'{folder.name}' has codes of '{spec.codec}' ({spec.codes_sha256[:12]}); expected those of "
                    f"{expected[:12]}. Tokenize again with the codec in use."
                )
            for shard in shards:
                codes, alignment, rows = _open_shard(folder, shard)
                for row in rows:
                    frames = slice(row["first_frame"], row["first_frame"] + row["n_frames"])
                    self._items.append(CodedUtterance(
                        row["id"], row["text"], row["symbols"], row["speaker"], codes[:, frames], alignment[frames]
                    ))  # fmt: skip
        self.spec = specs[0]
        self.speakers = tuple(sorted({item.speaker for item in self._items}))
        self.by_speaker: dict[str, list[int]] = defaultdict(list)
        for number, item in enumerate(self._items):
            self.by_speaker[item.speaker].append(number)
        self.n_frames = np.array([item.n_frames for item in self._items], np.int64)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, number: int) -> CodedUtterance:  # type: ignore[override]
        return self._items[number]

    @property
    def duration_s(self) -> float:
        return float(self.n_frames.sum()) / self.spec.frame_rate_hz

    def another_of(self, number: int, random: np.random.Generator) -> int:
        """Returns another utterance of the same speaker, or `number` itself if there is none."""
        same = self.by_speaker[self._items[number].speaker]
        if len(same) == 1:
            return number
        # One draw from the others: the last one replaces the utterance itself.
        other = same[int(random.integers(len(same) - 1))]
        return same[-1] if other == number else other


def _read_index(folder: Path) -> tuple[ShardSpec, list[dict[str, Any]]]:
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if index["format"] != FORMAT:
            raise BadContainer(
                f"'{folder.name}' has format {index['format']}; this version reads {FORMAT}. Tokenize again."
            )
        spec = ShardSpec(
            str(index["codec"]), str(index["codes_sha256"]), int(index["sample_rate_hz"]), int(index["hop_samples"]),
            tuple(map(int, index["codebook_sizes"])),
        )  # fmt: skip
        return spec, list(index["shards"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadContainer(
            f"'{folder.name}' has no readable {INDEX} ({type(error).__name__}); expected a folder of token shards. "
            "Create one with 'phonogram data tokenize'."
        ) from error


def _open_shard(folder: Path, shard: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]:
    """Returns codes [K, T], alignment [T] and rows of a shard after verifying its checksum."""
    path = folder / shard["file"]
    try:
        if hashlib.sha256(path.read_bytes()).hexdigest() != shard["sha256"]:
            raise BadContainer(f"'{path.name}' in '{folder.name}' does not match its checksum. Tokenize again.")
        with safe_open(path, framework="np") as file:
            return file.get_tensor("codes"), file.get_tensor("alignment"), json.loads(file.metadata()["rows"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise BadContainer(
            f"'{path.name}' in '{folder.name}' cannot be read ({type(error).__name__}). Tokenize again."
        ) from error


def _replace(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        raise OutputError(f"'{path.name}' cannot be written ({error.strerror}). Check the free disk space.") from error
