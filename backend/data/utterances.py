"""Recordings with transcripts: the rows of a speech manifest."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backend.data.frame_alignment import DurationUnit
from backend.data.manifest import AUDIO_FOLDER
from backend.errors import BadSettings

KOKORO_UNIT = DurationUnit()
RUN_LENGTH = 8


@dataclass(frozen=True, slots=True)
class Utterance:
    """One recording with its transcript.

    `symbols` are the phonemes given to the speaker, one character each. `durations` has an entry for the leading
    silence, each symbol and the trailing silence, in units of `unit`; empty if unknown. `first_sample` is the start of
    the file in the untrimmed audio that the durations measure. `factor` is the playback speed, which gives another
    speaker; unit and first sample refer to the audio at that speed.
    """

    id: str
    path: Path
    text: str
    symbols: str
    speaker: str
    durations: tuple[int, ...] = ()
    first_sample: int = 0
    seconds: float = 0.0
    unit: DurationUnit = KOKORO_UNIT
    factor: float = 1.0

    def speed_perturbed(self, factor: float) -> Utterance:
        """Returns the utterance at `factor` times the speed: pitch, timbre and tempo change together."""
        return replace(
            self, id=f"{self.id}~{factor:g}", speaker=f"{self.speaker}~{factor:g}", factor=self.factor * factor,
            first_sample=round(self.first_sample / factor), seconds=self.seconds / factor,
            unit=self.unit.speed_perturbed(factor),
        )  # fmt: skip


def perturb_speeds(utterances: Sequence[Utterance], factors: Sequence[float]) -> list[Utterance]:
    """Returns every utterance at one of the factors.

    A speaker's utterances change factor every `RUN_LENGTH`, so that each new speaker has several; the speaker's name
    determines the first factor.
    """
    n_before: dict[str, int] = {}
    perturbed = []
    for item in utterances:
        n = n_before[item.speaker] = n_before.get(item.speaker, -1) + 1
        turn = zlib.crc32(item.speaker.encode()) + n // RUN_LENGTH
        perturbed.append(item.speed_perturbed(factors[turn % len(factors)]))
    return perturbed


def read_utterances(manifest: Path) -> list[Utterance]:
    """Returns the rows of a `manifest.jsonl`, in order. `file` is relative to the manifest's folder or to its
    `speech/`.

    Raises `BadSettings` for a missing file or an invalid row.
    """
    if not manifest.is_file():
        raise BadSettings(f"The manifest '{manifest.name}' does not exist. Pass the manifest.jsonl of a speech corpus.")
    utterances = []
    for number, line in enumerate(manifest.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            utterances.append(_utterance(json.loads(line), manifest.parent))
        except (ValueError, KeyError, TypeError) as error:
            raise BadSettings(
                f"Line {number} of '{manifest.name}' is not an utterance ({error!r}); expected a JSON object with "
                "file, text, phonemes or symbols, and speaker. Correct or delete the line."
            ) from error
    if not utterances:
        raise BadSettings(f"'{manifest.name}' lists no utterances. Pass the manifest.jsonl of a speech corpus.")
    return utterances


def _utterance(row: Any, folder: Path) -> Utterance:
    if not isinstance(row, dict):
        raise ValueError(f"the row is a {type(row).__name__}")
    symbols = str(row.get("symbols", row.get("phonemes", "")))
    durations = tuple(int(duration) for duration in row.get("durations", ()))
    if durations and (len(durations) != len(symbols) + 2 or min(durations) < 0):
        raise ValueError(f"{len(durations)} durations for {len(symbols)} symbols and two silences")
    path_in_folder = folder / row["file"]
    return Utterance(
        id=str(row.get("id", row["file"])),
        path=path_in_folder if path_in_folder.is_file() else folder / AUDIO_FOLDER / row["file"],
        text=str(row["text"]),
        symbols=symbols,
        speaker=str(row["speaker"]),
        durations=durations,
        first_sample=int(row["trim"][0]) if "trim" in row else 0,
        seconds=float(row.get("seconds", 0.0)),
        unit=DurationUnit(
            unit_samples=float(row.get("unit_samples", KOKORO_UNIT.unit_samples)),
            lead_samples=float(row.get("lead_samples", KOKORO_UNIT.lead_samples)),
        ),
    )
