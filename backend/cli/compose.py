"""`phonogram compose`: music from a description."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from backend.cli.progress import activity
from backend.errors import OutputError


def compose(
    text: Annotated[str, typer.Argument(metavar="TEXT", help='Such as "Upbeat jazz with saxophone".')],
    output: Annotated[Path, typer.Option("-o", "--output", help="The sound file: .wav, .flac, .ogg, .opus, .mp3.")],
    duration: Annotated[float | None, typer.Option(help="Seconds; else what the text says, else 30.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed composes another piece.")] = 0,
    tempo: Annotated[int | None, typer.Option(help="Beats a minute, 60 to 180.", show_default=False)] = None,
    key: Annotated[str | None, typer.Option(help='Such as "A minor" or "Bb major".', show_default=False)] = None,
    meter: Annotated[str | None, typer.Option(help="4/4, 3/4, 6/8, 2/4, 5/4 or 12/8.", show_default=False)] = None,
    stems: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write one WAV file an instrument there.", show_default=False)
    ] = None,
    midi: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a .mid file.", show_default=False)] = None,
    loudness: Annotated[float, typer.Option(min=-40, max=-8, help="Loudness in LUFS.")] = -16.0,
    engine: Annotated[str, typer.Option(help="score: composed by rules; auto: the best engine here.")] = "auto",
    is_json: Annotated[bool, typer.Option("--json", help="Print the labels as one JSON object.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")] = False,
) -> None:
    """Compose music from a description and write it as sound, stems and MIDI."""
    import torch

    from backend.audio.files import write_audio
    from backend.pipeline.music.engine import MusicRequest
    from backend.pipeline.music.engines import resolve_engine
    from backend.pipeline.music.score_engine import ScoreEngine, composition_of

    resolve_engine(engine)
    for path in (output, midi):
        if path is not None and path.exists() and not overwrite:
            raise OutputError(f"'{path.name}' exists. Choose another name, or add --overwrite.")
    request = MusicRequest(text, duration, seed, tempo, key, meter, loudness_lufs=loudness, has_stems=stems is not None)
    # A request that cannot be met is rejected before the soundfont is read.
    composition_of(request)
    torch.set_num_threads(1)
    with activity("composing") as step:
        music = ScoreEngine().generate(request)
        step("writing")
        write_audio(output, music.mix)
        if midi is not None and music.midi is not None:
            midi.write_bytes(music.midi)
        if stems is not None:
            stems.mkdir(parents=True, exist_ok=True)
            for name, stem in music.stems:
                write_audio(stems / f"{name}.wav", stem)
    if is_json:
        typer.echo(json.dumps({**music.labels, "not_understood": music.not_understood}))
        return
    labels = music.labels
    typer.echo(
        f"{output.name}: {labels['duration_s']:g} s, {labels['genre']}, {labels['mood']}, {labels['key']}, "
        f"{labels['meter']}, {labels['tempo_bpm']:g} bpm, {', '.join(labels['instruments'])}; seed {seed}"
    )
    if music.not_understood:
        typer.echo(f"not understood: {', '.join(music.not_understood)}", err=True)
