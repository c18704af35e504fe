"""Recordings with what is said in them: the rows of a speech manifest."""

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
IN_A_ROW = 8


@dataclass(frozen=True, slots=True)
class Utterance:
    """One recording of known words.

    `symbols` are the sounds as they were fed to the speaker, one character each. `durations` has an entry for the
    silence before, each symbol and the silence after, in units of `unit`; empty where unknown. `first_sample` is
    where the file begins in the untrimmed sound that the durations measure. `factor` times as fast as it was recorded
    it is to be played, which is another speaker; unit and first sample are of the sound so played.
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

    def played(self, factor: float) -> Utterance:
        """The same played `factor` times as fast: pitch, timbre and pace change together."""
        return replace(
            self, id=f"{self.id}~{factor:g}", speaker=f"{self.speaker}~{factor:g}", factor=self.factor * factor,
            first_sample=round(self.first_sample / factor), seconds=self.seconds / factor,
            unit=self.unit.played(factor),
        )  # fmt: skip


def in_turn_at_speeds(utterances: Sequence[Utterance], factors: Sequence[float]) -> list[Utterance]:
    """Every utterance at one of the factors. A speaker's are changed `IN_A_ROW` at a time, so that each speaker made so
    has several; who begins with which factor is drawn from the name.
    """
    n_before: dict[str, int] = {}
    found = []
    for item in utterances:
        n = n_before[item.speaker] = n_before.get(item.speaker, -1) + 1
        turn = zlib.crc32(item.speaker.encode()) + n // IN_A_ROW
        found.append(item.played(factors[turn % len(factors)]))
    return found


def read_utterances(manifest: Path) -> list[Utterance]:
    """The rows of a `manifest.jsonl`, in order. `file` is relative to the manifest's folder or to `speech/` in it.

    Raises `BadSettings` for a file that is missing or a row that is no utterance.
    """
    if not manifest.is_file():
        raise BadSettings(f"There is no manifest '{manifest.name}'. Give the manifest.jsonl of a speech corpus.")
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
        raise BadSettings(f"'{manifest.name}' lists no utterances. Give the manifest.jsonl of a speech corpus.")
    return utterances


def _utterance(row: Any, folder: Path) -> Utterance:
    if not isinstance(row, dict):
        raise ValueError(f"it is a {type(row).__name__}")
    symbols = str(row.get("symbols", row.get("phonemes", "")))
    durations = tuple(int(duration) for duration in row.get("durations", ()))
    if durations and (len(durations) != len(symbols) + 2 or min(durations) < 0):
        raise ValueError(f"{len(durations)} durations for {len(symbols)} symbols and two silences")
    near = folder / row["file"]
    return Utterance(
        id=str(row.get("id", row["file"])),
        path=near if near.is_file() else folder / AUDIO_FOLDER / row["file"],
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
