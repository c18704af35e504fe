"""Synthesizes a corpus with a teacher: the seed determines every sentence and speaker, and an interrupted run resumes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backend.atomic_file import write_atomically
from backend.audio.files import write_audio
from backend.audio.waveform import Waveform
from backend.data.frame_alignment import DurationUnit
from backend.data.manifest import AUDIO_FOLDER, MANIFEST_NAME, Clip
from backend.data.splits import HeldOut
from backend.data.synthesis.teacher import Teacher, TeacherSpeech
from backend.data.synthesis.templates import template_sentence
from backend.data.synthesis.text_filters import WORDS, Excluded
from backend.errors import BadSettings, OutputError

FILES_PER_FOLDER = 1000
# Silence is what is below this fraction of the loudest 10 ms.
SILENCE_RATIO = 10 ** (-45 / 20)
LEAD_S, TAIL_S = 0.08, 0.15
SHORTEST_S = 0.4
PEAK = 0.98

Phonemizer = Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusConfig:
    """Composition of a corpus. Shares are fractions of all utterances; the rest are single sentences of `texts` by the
    `speakers`.
    """

    texts: Sequence[str]
    speakers: Sequence[str]
    prefix: str = "u"  # of the ids; corpora to be combined need different ones
    seed: int = 0
    template_share: float = 0.1
    pair_share: float = 0.25  # two sentences in one utterance
    mix_share: float = 0.0  # mixes of two speakers
    pseudo_share: float = 0.0  # recurring speakers from a pool, see `pseudo_speaker`
    n_pseudo: int = 300  # size of that pool
    shift_share: float = 0.0  # pitch-shifted speakers
    speeds: tuple[float, float] = (0.9, 1.15)


@dataclass(frozen=True, slots=True)
class CorpusLine:
    """One utterance to synthesize."""

    id: str
    text: str
    speaker: str
    speed: float


def lines(plan: CorpusConfig, excluded: Excluded, heldout: HeldOut) -> Iterator[CorpusLine]:
    """Yields the utterances of a corpus without end, without excluded sentences and held-out speakers.

    Raises `BadSettings` if no text or no speaker is left.
    """
    speakers = [name for name in plan.speakers if not heldout.covers(Clip("", Path(), name))]
    texts = [text for text in plan.texts if not excluded.covers(text)]
    if not speakers or not (texts or plan.template_share >= 1):
        raise BadSettings(
            f"{len(texts)} of {len(plan.texts)} texts and {len(speakers)} of {len(plan.speakers)} speakers are left "
            "after exclusion; both are needed. Pass more texts (--wordnet, --austen) or speakers."
        )
    number, epoch = 0, 0
    while True:
        order = list(texts)
        random.Random(f"{plan.seed} texts {epoch}").shuffle(order)
        epoch += 1
        remaining = iter(order)
        for text in remaining if order else iter([""]):
            rng = random.Random(f"{plan.seed} line {number}")
            if not text or rng.random() < plan.template_share:
                text = template_sentence(rng)
            elif rng.random() < plan.pair_share:
                second = next(remaining, "")
                if len(text.split()) + len(second.split()) in WORDS:
                    text = f"{text} {second}".strip()
            if excluded.covers(text):
                continue
            yield CorpusLine(f"{plan.prefix}{number:06d}", text, _speaker(plan, speakers, rng), _speed(plan, rng))
            number += 1


def given_lines(texts: Sequence[str], speakers: Sequence[str], prefix: str) -> Iterator[CorpusLine]:
    """Yields exactly these texts in order, with alternating speakers, at normal speed."""
    for number, text in enumerate(texts):
        yield CorpusLine(f"{prefix}{number:06d}", text, speakers[number % len(speakers)], 1.0)


def pseudo_speaker(speakers: Sequence[str], rng: random.Random) -> str:
    """Returns a speaker beyond the given ones (at least three), such as `ann:0.72+bob:0.55+max:-0.27`: a mix moved away
    from another speaker.

    Plain mixes cluster around the mean: the similarity of two of them is .68, of two speakers .61, of two of these .58,
    with equal intelligibility (Kokoro, six voices each).
    """
    away = round(rng.uniform(0.1, 0.3), 2)
    if rng.random() < 0.3:
        one, other = rng.sample(speakers, 2)
        return f"{one}:{1 + min(away, 0.2):.2f}+{other}:{-min(away, 0.2):.2f}"
    first, second, third = rng.sample(speakers, 3)
    weight = round(rng.uniform(0.4, 0.6) * (1 + away), 2)
    return f"{first}:{weight:.2f}+{second}:{1 + away - weight:.2f}+{third}:{-away:.2f}"


def _speaker(plan: CorpusConfig, speakers: list[str], rng: random.Random) -> str:
    # No random draw without pseudo speakers, so that existing corpora resume unchanged.
    if plan.pseudo_share and len(speakers) > 2 and rng.random() < plan.pseudo_share:
        return pseudo_speaker(speakers, random.Random(f"{plan.seed} pseudo {rng.randrange(plan.n_pseudo)}"))
    kind = rng.random()
    if kind < plan.mix_share and len(speakers) > 1:
        one, other = rng.sample(speakers, 2)
        weight = rng.choice((0.3, 0.4, 0.5, 0.6, 0.7))
        return f"{one}:{weight}+{other}:{round(1 - weight, 1)}"
    if 1 - kind < plan.shift_share:
        return f"{rng.choice(speakers)}~{rng.choice((0.8, 0.84, 0.88, 0.92, 1.06, 1.12, 1.18)):g}"
    return rng.choice(speakers)


def _speed(plan: CorpusConfig, rng: random.Random) -> float:
    return round(rng.triangular(*plan.speeds, 1.0), 2)


def synthesize(
    folder: Path, requested: Iterable[CorpusLine], teacher: Teacher, phonemize: Callable[[CorpusLine], str], *,
    hours: float, suffix: str = "opus", progress: Callable[[float, float], None] | None = None,
) -> dict[str, str]:  # fmt: skip
    """Synthesizes lines into a corpus folder until it has `hours` of speech; returns the skipped ones with the reason.

    Lines in the folder's manifest are not repeated. A row is written after its file, so an interruption loses at most
    one utterance. `progress` gets the hours done and the total. Raises `OutputError` if the folder cannot be written.
    """
    try:
        (folder / AUDIO_FOLDER).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Folder '{folder.name}' cannot be created ({error.strerror}). Choose another.") from error
    manifest = folder / MANIFEST_NAME
    existing = _read_manifest(manifest)
    done_s = sum(existing.values())
    skipped: dict[str, str] = {}
    for line in requested:
        if done_s >= hours * 3600:
            break
        if line.id in existing:
            continue
        row = _synthesize_line(folder, line, teacher, phonemize(line), suffix)
        if isinstance(row, str):
            skipped[line.id] = row
            continue
        with manifest.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
        done_s += row["seconds"]
        if progress is not None:
            progress(done_s / 3600, hours)
    return skipped


def _synthesize_line(
    folder: Path, line: CorpusLine, teacher: Teacher, symbols: str, suffix: str
) -> dict[str, Any] | str:
    """Returns the manifest row of a line after writing its file, or the reason it was skipped."""
    symbols = "".join(symbol for symbol in symbols if symbol in teacher.symbols)
    if not 1 <= len(symbols) <= teacher.max_symbols:
        return f"{len(symbols)} symbols; the teacher accepts 1 to {teacher.max_symbols}"
    spoken = teacher.speak(symbols, line.speaker, line.speed)
    first, last = voiced_range(spoken)
    seconds = (last - first) / spoken.rate_hz
    if seconds < SHORTEST_S:
        return f"{seconds:.2f} s of audio"
    samples = spoken.samples[first:last]
    samples = samples * min(1.0, PEAK / float(np.abs(samples).max()))
    number = int(line.id.lstrip("abcdefghijklmnopqrstuvwxyz-_"))
    name = f"{number // FILES_PER_FOLDER:03d}/{line.id}.{suffix}"
    (folder / AUDIO_FOLDER / name).parent.mkdir(exist_ok=True)
    write_audio(folder / AUDIO_FOLDER / name, Waveform.of(samples, spoken.rate_hz))
    row = {
        "id": line.id, "file": name, "text": line.text, "phonemes": symbols, "speaker": line.speaker,
        "speed": line.speed, "symbols": symbols, "durations": list(spoken.durations), "trim": [first, last],
        "seconds": round(seconds, 3),
    }  # fmt: skip
    plain = DurationUnit(rate_hz=spoken.rate_hz)
    if spoken.unit != plain:
        row |= {"unit_samples": spoken.unit.unit_samples, "lead_samples": spoken.unit.lead_samples}
    return row


def voiced_range(spoken: TeacherSpeech) -> tuple[int, int]:
    """Returns first and last sample of the speech with a short silence around it."""
    block = spoken.rate_hz // 100
    n_blocks = len(spoken.samples) // block
    level = np.sqrt(np.mean(spoken.samples[: n_blocks * block].reshape(n_blocks, block) ** 2, axis=1, dtype=np.float64))
    loud = np.flatnonzero(level > level.max(initial=0) * SILENCE_RATIO)
    if not len(loud):
        return 0, 0
    first = loud[0] * block - round(LEAD_S * spoken.rate_hz)
    last = (loud[-1] + 1) * block + round(TAIL_S * spoken.rate_hz)
    return max(int(first), 0), min(int(last), len(spoken.samples))


def _read_manifest(manifest: Path) -> dict[str, float]:
    """Returns seconds by id of the complete rows; removes a truncated last line."""
    if not manifest.is_file():
        return {}
    seconds_by_id: dict[str, float] = {}
    whole: list[str] = []
    stored = manifest.read_text(encoding="utf-8").splitlines()
    for line in stored:
        try:
            row = json.loads(line)
            seconds_by_id[str(row["id"])] = float(row["seconds"])
        except (ValueError, KeyError, TypeError):
            continue
        whole.append(line + "\n")
    if len(whole) < len(stored):
        write_atomically(manifest, "".join(whole).encode())
    return seconds_by_id
