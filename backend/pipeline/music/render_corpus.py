"""A corpus of rendered music with exact labels: seeded, resumable, with a held-out split.

Each piece is a sound file, a MIDI file and a line of `manifest.jsonl`. Its name and its split follow from its seed (or
from its composer, for scores read from files), so a run that is stopped goes on where it was, and two runs with other
seeds never share a piece.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from backend.audio.files import write_audio
from backend.errors import BadAudio, OutputError
from backend.music.captions import captions_of, labels_of
from backend.music.composer import CompositionRequest, compose
from backend.music.midi import to_midi
from backend.music.mixing import MixOptions, mix_stems
from backend.music.musicxml import arranged, excerpt, read_musicxml
from backend.music.performance import PerformanceOptions, perform
from backend.music.rendering import Renderer
from backend.music.score import Score

MANIFEST = "manifest.jsonl"
PIECES_A_SHARD = 256
HELD_OUT_EVERY = 20
HELD_OUT_COMPOSERS_EVERY = 10
TRAIN, HELD_OUT = "train", "heldout"


@dataclass(frozen=True, slots=True)
class CorpusOptions:
    """`minutes`: how much sound each run brings the folder to; `clip_s`: shortest and longest piece.

    `n_channels` 1 or 2; `format` flac or wav (16 bits).
    """

    minutes: float = 60.0
    rate_hz: int = 32_000
    n_channels: int = 1
    clip_s: tuple[float, float] = (12.0, 40.0)
    first_seed: int = 0
    format: str = "flac"
    has_midi: bool = True


@dataclass(frozen=True, slots=True)
class ScoreFile:
    """A score on disk. `composer` decides the split."""

    path: Path
    composer: str
    title: str
    license: str


def split_of_seed(seed: int) -> str:
    """Every twentieth seed is held out."""
    return HELD_OUT if seed % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 else TRAIN


def split_of_composer(composer: str) -> str:
    """About every tenth composer is held out, with all their works."""
    digest = hashlib.sha256(composer.strip().lower().encode()).digest()
    return HELD_OUT if digest[0] % HELD_OUT_COMPOSERS_EVERY == 0 else TRAIN


def read_score_list(path: Path) -> list[ScoreFile]:
    """The scores of a JSON-lines file with `file` (relative to it), `composer`, `title` and `license`."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip():
            row = json.loads(line)
            found.append(ScoreFile(path.parent / row["file"], row["composer"], row["title"], row["license"]))
    return found


def render_composed(
    out: Path, renderer: Renderer, options: CorpusOptions, progress: Callable[[int, int], None] | None = None
) -> int:
    """Render pieces of the composer until the folder holds `options.minutes` of them; returns how many are new."""
    return _render(out, renderer, options, _composed(options), "composed", progress)


def render_scores(
    out: Path, renderer: Renderer, options: CorpusOptions, scores: Sequence[ScoreFile],
    progress: Callable[[int, int], None] | None = None,
) -> int:  # fmt: skip
    """Render excerpts of `scores`, in an order and with instruments that follow from the seed."""
    return _render(out, renderer, options, _excerpts(scores, options), "score", progress)


@dataclass(frozen=True, slots=True)
class _Piece:
    id: str
    split: str
    seed: int
    score: Callable[[], Score]
    source: dict[str, Any]


def _composed(options: CorpusOptions) -> Iterator[_Piece]:
    seed = options.first_seed
    while True:
        duration_s = Random(f"{seed}/length").uniform(*options.clip_s)
        request = CompositionRequest(seed=seed, duration_s=duration_s)
        yield _Piece(f"c{seed:08d}", split_of_seed(seed), seed, partial(compose, request), {})
        seed += 1


def _excerpts(scores: Sequence[ScoreFile], options: CorpusOptions) -> Iterator[_Piece]:
    round_index = 0
    while scores:
        order = list(range(len(scores)))
        Random(f"{options.first_seed}/order/{round_index}").shuffle(order)
        for i in order:
            file = scores[i]
            name = hashlib.sha256(str(file.path.name).encode()).hexdigest()[:8]
            seed = options.first_seed + round_index
            duration_s = Random(f"{seed}/{name}/length").uniform(*options.clip_s)

            def score(file: ScoreFile = file, seed: int = seed, duration_s: float = duration_s) -> Score:
                own = int(hashlib.sha256(f"{seed}/{file.path.name}".encode()).hexdigest()[:8], 16)
                whole = arranged(read_musicxml(file.path), own)
                return replace(excerpt(whole, duration_s, own), title=file.title, composer=file.composer, seed=own)

            source = {"file": file.path.name, "composer": file.composer, "title": file.title, "license": file.license}
            yield _Piece(f"s{name}-{seed:04d}", split_of_composer(file.composer), seed, score, source)
        round_index += 1


def _render(
    out: Path, renderer: Renderer, options: CorpusOptions, pieces: Iterable[_Piece], kind: str,
    progress: Callable[[int, int], None] | None,
) -> int:  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    rows = read_manifest(out / MANIFEST)
    known = {row["id"] for row in rows}
    done_s = sum(row["duration_s"] for row in rows if row["kind"] == kind)
    wanted_s, n_new, n_failed = options.minutes * 60, 0, 0
    for piece in pieces:
        if done_s >= wanted_s or n_failed > 200:
            break
        if piece.id in known:
            continue
        try:
            row = _render_one(out, renderer, options, piece, kind, len(known) // PIECES_A_SHARD)
        except BadAudio:
            # A score that cannot be read is passed over; a folder of nothing else ends the run.
            n_failed += 1
            continue
        _append(out / MANIFEST, row)
        known.add(piece.id)
        n_new, done_s, n_failed = n_new + 1, done_s + row["duration_s"], 0
        if progress:
            progress(round(done_s), round(wanted_s))
    return n_new


def _render_one(
    out: Path, renderer: Renderer, options: CorpusOptions, piece: _Piece, kind: str, shard: int
) -> dict[str, Any]:
    score = piece.score()
    rng = Random(f"{piece.id}/render")
    humanize = rng.uniform(0.4, 1.6) if kind == "composed" else rng.uniform(0.8, 2.0)
    performed = perform(score, PerformanceOptions(humanize=humanize), seed=piece.seed)
    stems = renderer.stems(performed, options.rate_hz)
    mix = mix_stems(stems, [part.role for part in score.parts], MixOptions.random(rng)).mix
    if not mix.samples.any():
        raise BadAudio(f"The render of {piece.id} is silent.")
    folder = Path(piece.split) / f"shard-{shard:04d}"
    (out / folder).mkdir(parents=True, exist_ok=True)
    name = folder / f"{piece.id}.{options.format}"
    write_audio(out / name, mix.mono() if options.n_channels == 1 else mix)
    row = {
        "id": piece.id, "path": name.as_posix(), "kind": kind, "split": piece.split, "rate_hz": mix.rate_hz,
        "duration_s": round(mix.duration_s, 4), "captions": captions_of(score, piece.seed),
        "labels": labels_of(score), "source": piece.source,
    }  # fmt: skip
    if options.has_midi:
        (out / name).with_suffix(".mid").write_bytes(to_midi(performed))
        row["midi"] = name.with_suffix(".mid").as_posix()
    return row


def read_manifest(path: Path) -> list[dict[str, Any]]:
    """The rows of a manifest; a line cut off by a crash is dropped from the file. Raises `OutputError` for others."""
    if not path.is_file():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) != len(content):
        path.write_bytes(whole)
    try:
        return [json.loads(line) for line in whole.decode().splitlines()]
    except ValueError as error:
        raise OutputError(
            f"'{path.name}' holds a line that is no JSON. Remove the line, or start a new folder."
        ) from error


def _append(path: Path, row: dict[str, Any]) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
