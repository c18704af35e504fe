"""Every coder on every WAV file of a folder: sizes with headers, times, and whether the samples came back."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import soundfile

from backend.errors import BadAudio
from backend.evaluation.lossless.coders import LosslessCoder, timed
from backend.evaluation.lossless.lossy_source import lossy_cutoff_hz

Report = Callable[..., None]
BASELINE = "flac-8"


@dataclass(frozen=True, slots=True)
class CodedFile:
    """One file through one coder. Times are seconds; `share` is compressed bytes for each byte of the WAV file."""

    file: str
    coder: str
    source_bytes: int
    n_bytes: int
    share: float
    duration_s: float
    encode_s: float
    encode_processor_s: float
    decode_s: float
    decode_processor_s: float
    is_exact: bool


@dataclass(frozen=True, slots=True)
class LosslessEvaluation:
    """All results, the files left out with reasons, and the cutoff of files that look lossy."""

    results: list[CodedFile]
    skipped: dict[str, str]
    cutoffs_hz: dict[str, float]


def evaluate_lossless(
    audio: Path, coders: list[LosslessCoder], limit: int | None = None, report: Report | None = None
) -> LosslessEvaluation:
    """Run the coders on the WAV files below `audio`, spread evenly if more than `limit`."""
    files = sorted(path for path in audio.rglob("*") if path.suffix.lower() == ".wav")
    if not files:
        raise BadAudio(f"No WAV file is below '{audio.name}'. Name another folder.")
    if limit is not None and len(files) > limit:
        files = [files[i * len(files) // limit] for i in range(limit)]
    results: list[CodedFile] = []
    skipped: dict[str, str] = {}
    cutoffs: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for index, path in enumerate(files):
            name = path.relative_to(audio).as_posix()
            try:
                samples, rate_hz = soundfile.read(path, dtype="int32", always_2d=True)
                cutoff = lossy_cutoff_hz(samples.T, rate_hz)
                if cutoff is not None:
                    cutoffs[name] = cutoff
                of_file = [_coded(path, name, coder, folder, len(samples) / rate_hz) for coder in coders]
            except (BadAudio, soundfile.LibsndfileError) as error:
                skipped[name] = str(error)
                continue
            finally:
                if report is not None:
                    report(index + 1, len(files))
            results += of_file
    return LosslessEvaluation(results, skipped, cutoffs)


def _coded(path: Path, name: str, coder: LosslessCoder, folder: Path, duration_s: float) -> CodedFile:
    packed, again = folder / f"packed{coder.suffix}", folder / "again.wav"
    for old in (packed, again):
        old.unlink(missing_ok=True)
    encode = timed(coder.encode, path, packed)
    decode = timed(coder.decode, packed, again)
    source_bytes, n_bytes = path.stat().st_size, packed.stat().st_size
    before, after = (soundfile.read(one, dtype="int32", always_2d=True)[0] for one in (path, again))
    is_exact = before.shape == after.shape and bool((before == after).all())
    return CodedFile(
        name, coder.name, source_bytes, n_bytes, n_bytes / source_bytes, duration_s, *encode, *decode, is_exact
    )


def summarize_lossless(evaluation: LosslessEvaluation) -> list[dict[str, Any]]:
    """A row a coder: pooled size, its median beside flac-8 over files, and speed as sound for each processor second."""
    by_coder: dict[str, list[CodedFile]] = {}
    for one in evaluation.results:
        by_coder.setdefault(one.coder, []).append(one)
    baseline = {one.file: one.n_bytes for one in by_coder.get(BASELINE, [])}
    rows = []
    for name, all_of in by_coder.items():
        duration = sum(one.duration_s for one in all_of)
        ratios = [one.n_bytes / baseline[one.file] for one in all_of if one.file in baseline]
        total = sum(one.n_bytes for one in all_of)
        rows.append({
            "coder": name,
            "files": len(all_of),
            "pooled_share": total / sum(one.source_bytes for one in all_of),
            "pooled_beside_flac8": total / sum(baseline.values()) if len(ratios) == len(all_of) else None,
            "median_beside_flac8": median(ratios) if ratios else None,
            "worst_beside_flac8": max(ratios) if ratios else None,
            "encode_times_real": duration / max(sum(one.encode_processor_s for one in all_of), 1e-9),
            "decode_times_real": duration / max(sum(one.decode_processor_s for one in all_of), 1e-9),
            "is_exact": all(one.is_exact for one in all_of),
        })  # fmt: skip
    return rows


def lossless_document(evaluation: LosslessEvaluation, absent: dict[str, str]) -> dict[str, Any]:
    """Everything found, as one JSON object."""
    return {
        "summary": summarize_lossless(evaluation),
        "files": [asdict(one) for one in evaluation.results],
        "skipped": evaluation.skipped,
        "looks_lossy_above_hz": evaluation.cutoffs_hz,
        "absent": absent,
    }
