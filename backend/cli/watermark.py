"""`phonogram watermark`: was this sound made with our key?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Find the mark that WATERMARK=true leaves in speech.")


@app.callback()
def watermark() -> None:
    """A group, though it has one command so far."""


@app.command()
def check(
    source: Annotated[Path, typer.Argument(metavar="SOUND", help="A WAV, FLAC, Ogg or MP3 file.")],
    key: Annotated[str | None, typer.Option(help="Else WATERMARK_KEY of the settings.", show_default=False)] = None,
) -> None:
    """Tell whether a sound carries the mark. Exit code 0: it does; 1: not found, which proves nothing."""
    from backend.audio.files import read_audio
    from backend.audio.watermark import LEAST_S, THRESHOLD
    from backend.audio.watermark import check as check_sound
    from backend.errors import BadAudio
    from backend.settings import load_settings

    settings = load_settings()
    try:
        content = source.read_bytes()
    except OSError as error:
        raise BadAudio(f"{source.name} cannot be read ({error.strerror}). Name a sound file.") from error
    found = check_sound(read_audio(content, max_duration_s=settings.max_audio_s), key or settings.watermark_key)
    verdict = "marked" if found.is_marked else "no mark found"
    typer.echo(
        f"{source.name}: {verdict} (score {found.score:.1f}, marked from {THRESHOLD:g} on; {found.duration_s:.1f} s)"
    )
    if found.duration_s < LEAST_S:
        typer.echo(f"Shorter than {LEAST_S:g} s, which is too little to tell.")
    if not found.is_marked:
        raise typer.Exit(1)
