"""`phonogram watermark`: detects the watermark in audio."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Detect the watermark that WATERMARK=true adds to speech.")


@app.callback()
def watermark() -> None:
    """Keeps Typer from turning the only command into the group."""


@app.command()
def check(
    source: Annotated[Path, typer.Argument(metavar="AUDIO", help="A WAV, FLAC, Ogg or MP3 file.")],
    key: Annotated[
        str | None, typer.Option(help="Key; default: WATERMARK_KEY from the settings.", show_default=False)
    ] = None,
) -> None:
    """Detect the watermark. Exit code 0: detected; 1: not detected, which does not prove that there is none."""
    from backend.audio.files import read_audio
    from backend.audio.watermark import LEAST_S, THRESHOLD
    from backend.audio.watermark import check as check_audio
    from backend.errors import BadAudio
    from backend.settings import load_settings

    settings = load_settings()
    try:
        content = source.read_bytes()
    except OSError as error:
        raise BadAudio(f"{source.name} cannot be read ({error.strerror}). Use an audio file.") from error
    result = check_audio(read_audio(content, max_duration_s=settings.max_audio_s), key or settings.watermark_key)
    verdict = "watermark detected" if result.is_watermarked else "no watermark detected"
    typer.echo(
        f"{source.name}: {verdict} (score {result.score:.1f}, threshold {THRESHOLD:g}; {result.duration_s:.1f} s)"
    )
    if result.duration_s < LEAST_S:
        typer.echo(f"The audio is shorter than {LEAST_S:g} s, which is too short for a reliable result.")
    if not result.is_watermarked:
        raise typer.Exit(1)
