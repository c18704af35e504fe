"""Decodes recordings once into a memory-mapped file, so that training steps decode nothing.

A cache folder holds `cache.json` (format, rate, channels), `samples.pcm` (int16, interleaved channels) and
`index.jsonl` (one row per clip: id, source size, first sample, length, CRC-32; or the reason it was skipped). Rows are
appended after their samples, so an interrupted build resumes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from zlib import crc32

import numpy as np

from backend.atomic_file import write_atomically
from backend.audio.files import read_audio
from backend.audio.resample import resample
from backend.data.manifest import Clip
from backend.errors import BadAudio, BadContainer, LimitExceeded

FORMAT = 1
BYTES_PER_VALUE = 2
MAX_CLIP_S = 2 * 3600.0


@dataclass(frozen=True, slots=True)
class CachedClip:
    """A decoded clip: `samples` [N, C] int16, a view into the memory-mapped file."""

    id: str
    speaker: str
    samples: np.ndarray


@dataclass(frozen=True, slots=True)
class IndexRow:
    id: str
    source_bytes: int
    first_sample: int
    n_samples: int
    crc32: int
    skipped: str = ""  # reason, if the clip could not be decoded


class AudioCache:
    """The cache of a folder of recordings at one sample rate."""

    def __init__(self, folder: Path, rate_hz: int, n_channels: int = 1):
        self.folder, self.rate_hz, self.n_channels = folder, rate_hz, n_channels
        folder.mkdir(parents=True, exist_ok=True)
        header = {"format": FORMAT, "rate_hz": rate_hz, "n_channels": n_channels}
        path = folder / "cache.json"
        if not path.exists():
            path.write_text(json.dumps(header))
        stored = json.loads(path.read_text())
        if stored != header:
            raise BadContainer(
                f"The audio cache has {stored}; expected {header}. Delete the cache folder to rebuild it."
            )
        self._rows = self._read_index()

    @property
    def report(self) -> dict[str, str]:
        """Skipped clips, with the reason."""
        return {row.id: row.skipped for row in self._rows.values() if row.skipped}

    def build(self, clips: list[Clip], progress: Callable[[int, int], None] | None = None) -> None:
        """Decodes every clip that is not cached yet. Unreadable clips are listed in `report`, not raised."""
        missing = [clip for clip in clips if not self._is_current(clip)]
        end = max((row.first_sample + row.n_samples for row in self._rows.values()), default=0)
        frame_bytes = BYTES_PER_VALUE * self.n_channels
        with (
            open(self.folder / "samples.pcm", "ab") as samples_file,
            open(self.folder / "index.jsonl", "a") as index_file,
        ):
            samples_file.truncate(end * frame_bytes)
            for i, clip in enumerate(missing):
                if progress is not None:
                    progress(i, len(missing))
                row, values = self._decode(clip, end)
                if values is not None:
                    samples_file.write(values.tobytes())
                    samples_file.flush()
                index_file.write(json.dumps(asdict(row)) + "\n")
                index_file.flush()
                self._rows[row.id] = row
                end += row.n_samples

    def clips(self, clips: list[Clip]) -> list[CachedClip]:
        """Returns views of those of `clips` that are cached and readable, in the given order."""
        path = self.folder / "samples.pcm"
        if not path.exists() or not path.stat().st_size:
            return []
        values = np.memmap(path, np.int16, "r").reshape(-1, self.n_channels)
        cached = []
        for clip in clips:
            row = self._rows.get(clip.id)
            if row is not None and not row.skipped:
                samples = values[row.first_sample : row.first_sample + row.n_samples]
                cached.append(CachedClip(clip.id, clip.speaker, samples))
        return cached

    def _is_current(self, clip: Clip) -> bool:
        row = self._rows.get(clip.id)
        return row is not None and row.source_bytes == _size_bytes(clip.path)

    def _decode(self, clip: Clip, first_sample: int) -> tuple[IndexRow, np.ndarray | None]:
        size_bytes = _size_bytes(clip.path)
        try:
            values = _pcm(clip.path, self.rate_hz, self.n_channels)
        except (BadAudio, LimitExceeded) as error:
            return IndexRow(clip.id, size_bytes, first_sample, 0, 0, str(error)), None
        return IndexRow(clip.id, size_bytes, first_sample, len(values), crc32(values.tobytes())), values

    def _read_index(self) -> dict[str, IndexRow]:
        """Returns the rows whose samples are complete; a truncated line or truncated samples are decoded again."""
        path, samples_path = self.folder / "index.jsonl", self.folder / "samples.pcm"
        if not path.exists():
            return {}
        size_bytes = samples_path.stat().st_size if samples_path.exists() else 0
        rows, valid_lines = {}, []
        for line in path.read_text().splitlines():
            try:
                row = IndexRow(**json.loads(line))
            except (ValueError, TypeError):
                break
            if (row.first_sample + row.n_samples) * BYTES_PER_VALUE * self.n_channels > size_bytes:
                break
            rows[row.id] = row
            valid_lines.append(line + "\n")
        write_atomically(path, "".join(valid_lines).encode())
        return rows


def cache_folder(root: Path, source: Path, rate_hz: int, n_channels: int = 1) -> Path:
    """Returns the folder under `root` for the cache of the recordings in `source`."""
    digest = sha256(str(source.resolve()).encode()).hexdigest()[:8]
    return root / f"{source.resolve().name}-{rate_hz}hz-{n_channels}ch-{digest}"


def _size_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1


def _pcm(path: Path, rate_hz: int, n_channels: int) -> np.ndarray:
    """Decodes the file as int16 [N, C] at `rate_hz`."""
    waveform = read_audio(path, max_duration_s=MAX_CLIP_S)
    if not waveform.n_samples:
        raise BadAudio("The file has no samples; expected audio.")
    if waveform.n_channels != n_channels:
        waveform = waveform.mono()
    samples = resample(waveform, rate_hz).samples.T
    if samples.shape[1] != n_channels:
        samples = np.repeat(samples, n_channels, axis=1)
    return np.round(np.clip(samples, -1.0, 1.0) * 32767.0).astype(np.int16)
