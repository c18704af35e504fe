"""Turns a folder of recordings into uniform FLAC files: one rate, mono, peak-normalized, damaged files set aside."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backend.audio.files import read_audio, write_audio
from backend.audio.resample import resample
from backend.audio.waveform import Waveform
from backend.data.manifest import MANIFEST_NAME, Clip, read_clips
from backend.errors import BadSettings, PhonogramError

REJECTED = "rejected.jsonl"
MAX_RECORDING_S = 4 * 3600.0
FRAME_S = 0.02


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """`peak_dbfs`: level of the highest sample, None keeps it. `silence_dbfs`: frames of 20 ms below it are dropped.

    `segment_s`: longer recordings are cut into pieces of that length, so that memory stays bounded later on.
    """

    rate_hz: int = 24_000
    peak_dbfs: float | None = -1.0
    silence_dbfs: float | None = -80.0
    min_s: float = 0.5
    segment_s: float = 60.0
    licenses: tuple[str, ...] = ()
    split: str | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `prepare` made: pieces and seconds in the folder, and how many recordings were set aside."""

    n_pieces: int
    duration_s: float
    n_rejected: int


def prepare(
    source: Path, out: Path, options: PrepareOptions, progress: Callable[[int, int], None] | None = None
) -> Prepared:
    """Writes the recordings of `source` (a manifest or any folder of audio) to `out`; a repeated call resumes.

    Each line of the new manifest keeps the license, author, class and split of its recording. Recordings that cannot
    be decoded or are too short are listed with the reason in `rejected.jsonl`.
    """
    if source.resolve() == out.resolve():
        raise BadSettings("The output folder is the folder of the recordings; expected another one.")
    clips, facts = read_clips(source), _facts(source)
    out.mkdir(parents=True, exist_ok=True)
    done = _rows(out / MANIFEST_NAME) + _rows(out / REJECTED)
    known = {row["recording"] for row in done}
    chosen = [clip for clip in clips if _is_chosen(facts.get(clip.id, {}), options)]
    for n, clip in enumerate(chosen):
        if progress is not None:
            progress(n, len(chosen))
        if clip.id in known:
            continue
        try:
            rows = _write_pieces(clip, facts.get(clip.id, {}), out, options)
        except PhonogramError as error:
            _append(out / REJECTED, [{"recording": clip.id, "reason": str(error)}])
            continue
        _append(out / MANIFEST_NAME, rows)
    pieces = _rows(out / MANIFEST_NAME)
    if not pieces:
        raise BadSettings(f"No recording of '{source.name}' could be used; {REJECTED} says why.")
    return Prepared(len(pieces), sum(row["seconds"] for row in pieces), len(_rows(out / REJECTED)))


def without_silence(samples: np.ndarray, rate_hz: int, floor_dbfs: float) -> np.ndarray:
    """Removes frames of 20 ms whose RMS is below `floor_dbfs` from samples [N]."""
    frame = max(1, round(rate_hz * FRAME_S))
    n = len(samples) // frame * frame
    frames = samples[:n].reshape(-1, frame)
    is_kept = np.sqrt(np.mean(frames.astype(np.float64) ** 2, axis=1)) >= 10 ** (floor_dbfs / 20)
    return np.concatenate([frames[is_kept].ravel(), samples[n:]])


def _write_pieces(clip: Clip, facts: dict[str, Any], out: Path, options: PrepareOptions) -> list[dict[str, Any]]:
    waveform = resample(read_audio(clip.path, max_duration_s=MAX_RECORDING_S).mono(), options.rate_hz)
    samples = waveform.samples[0]
    if not np.isfinite(samples).all():
        raise BadSettings("The recording has samples that are not finite; expected audio.")
    if options.silence_dbfs is not None:
        samples = without_silence(samples, options.rate_hz, options.silence_dbfs)
    if len(samples) < options.min_s * options.rate_hz:
        raise BadSettings(
            f"The recording has {len(samples) / options.rate_hz:.2f} s of sound; expected at least {options.min_s} s."
        )
    peak = float(np.abs(samples).max())
    if options.peak_dbfs is not None and peak > 0:
        samples = samples * (10 ** (options.peak_dbfs / 20) / peak)
    step, rows = max(1, round(options.segment_s * options.rate_hz)), []
    n_pieces = max(1, round(len(samples) / step))
    for i, piece in enumerate(np.array_split(samples, n_pieces)):
        name = Path(clip.id).with_suffix("").as_posix().replace("/", "-") + (f"-{i:03d}" if n_pieces > 1 else "")
        target = out / "audio" / f"{name}.flac"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_audio(target, Waveform(piece[None].astype(np.float32), options.rate_hz))
        row = {
            key: facts[key] for key in ("class", "license", "author", "source", "split", "speaker") if facts.get(key)
        }
        rows.append(
            row
            | {
                "file": f"audio/{target.name}",
                "id": name,
                "recording": clip.id,
                "seconds": round(len(piece) / options.rate_hz, 3),
            }
        )
    return rows


def _is_chosen(facts: dict[str, Any], options: PrepareOptions) -> bool:
    license = str(facts.get("license", ""))
    return (not options.licenses or any(_is_license(license, name) for name in options.licenses)) and (
        options.split is None or facts.get("split", "train") == options.split
    )


def _is_license(license: str, name: str) -> bool:
    """Whether `license` is `name` in any version: CC-BY covers CC-BY-4.0 and not CC-BY-NC-4.0."""
    rest = license.upper().removeprefix(name.upper())
    return license.upper().startswith(name.upper()) and not rest.lstrip("-")[:1].isalpha()


def _facts(source: Path) -> dict[str, dict[str, Any]]:
    return {str(row.get("id", row.get("file"))): row for row in _rows(source / MANIFEST_NAME)}


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue  # a line that was cut off; its recording is prepared again
    return rows


def _append(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
