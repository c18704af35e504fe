"""`phonogram speak` and `phonogram voices`: the engine in this process, without a server."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from backend.cli.progress import activity
from backend.errors import BadRequest, OutputError
from backend.runtime.request import ReferenceClip, SpeechRequest

if TYPE_CHECKING:
    from backend.api.engine_host import SpeechEngine, SpeechStreamProtocol

Sampling = Annotated[float | None, typer.Option(show_default="the voice's own")]


def speak(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The file: .wav .flac .mp3 .opus .aac .m4b .ogg .pcm; - for WAV on standard output.")
    ],
    text: Annotated[str | None, typer.Argument(help="The text; - or nothing reads it from standard input.")] = None,
    text_file: Annotated[Path | None, typer.Option("--file", help="Read the text from this file.")] = None,
    voice: Annotated[str | None, typer.Option(help="A name or id of `phonogram voices`.")] = None,
    reference: Annotated[
        list[Path] | None, typer.Option(help="A recording of the voice to speak with; may be given again.")
    ] = None,
    reference_text: Annotated[
        list[str] | None, typer.Option(help="The words said in the recording, in the same order.")
    ] = None,
    is_fitted: Annotated[
        bool, typer.Option("--fit/--no-fit", help="Fit the voice to recordings whose words are given: slower, more alike.")
    ] = True,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same speech.")] = None,
    temperature: Sampling = None,
    top_p: Sampling = None,
    top_k: Annotated[int | None, typer.Option(show_default="the voice's own")] = None,
    min_p: Sampling = None,
    repetition_penalty: Sampling = None,
    max_new_tokens: Annotated[int | None, typer.Option(help="Most frames of one piece of the text.")] = None,
    chunk_length: Annotated[int | None, typer.Option(help="Speak long text in pieces of about so many bytes.")] = None,
    speed: Annotated[float | None, typer.Option(help="2 speaks in half the time.", show_default="1")] = None,
    pitch: Annotated[float | None, typer.Option(help="Semitones, -12 to 12.", show_default="0")] = None,
    loudness_lufs: Annotated[float | None, typer.Option(help="Bring the whole to this loudness.")] = None,
    markup: Annotated[str | None, typer.Option(help="plain, markup or ssml.", show_default="plain")] = None,
    normalize: Annotated[bool | None, typer.Option(help="Read numbers and dates as words.", show_default="yes")] = None,
    is_streaming: Annotated[
        bool, typer.Option("--stream", help="Write sound into the file as it is made (all but .ogg).")
    ] = False,
    bitrate_kbps: Annotated[
        int | None, typer.Option(help="Of .mp3, .opus, .aac and .m4b.", show_default="128, 64, 96, 96")
    ] = None,
    is_json: Annotated[bool, typer.Option("--json", help="Print the measures as one JSON object.")] = False,
    is_overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")] = False,
) -> None:  # fmt: skip
    """Speak a text into a sound file."""
    format = _format_of(output, is_streaming)
    _require_free(output, is_overwrite)
    given = {
        "voice": voice, "seed": seed, "temperature": temperature, "top_p": top_p, "top_k": top_k, "min_p": min_p,
        "repetition_penalty": repetition_penalty, "max_new_tokens": max_new_tokens, "chunk_length": chunk_length,
        "speed": speed, "pitch": pitch, "loudness_lufs": loudness_lufs, "markup": markup, "normalize": normalize,
    }  # fmt: skip
    references = _read_references(reference or [], reference_text or [])
    request = SpeechRequest(
        text=_read_text(text, text_file),
        references=references,
        fit_reference=is_fitted and bool(references) and all(clip.text.strip() for clip in references),
        whole=not is_streaming and str(output) != "-",
        **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]
    )
    from backend.audio.writers import FORMATS, open_writer

    with loaded_engine() as engine, activity("speaking") as report:
        stream = engine.begin(request)
        try:
            # Told before minutes of speech are made for nothing.
            open_writer(format if format in FORMATS else "wav", stream.sample_rate_hz, 1, None, bitrate_kbps)
            if is_streaming or str(output) == "-":
                _write_pieces(stream, output, format, bitrate_kbps, report)
            else:
                _write_whole(stream, output, format, bitrate_kbps, report)
        finally:
            stream.cancel()
    _tell(stream, output, is_json)


def voices(is_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False) -> None:
    """List the voices there are."""
    with loaded_engine() as engine:
        found = engine.voices()
    if is_json:
        typer.echo(json.dumps([{"id": voice.id, "name": voice.name} for voice in found]))
        return
    for voice in found:
        typer.echo(f"{voice.id}  {voice.name}")
    if not found:
        typer.echo("No voices yet: speak with --reference, or add one in the page.", err=True)


@contextmanager
def loaded_engine() -> Iterator[SpeechEngine]:
    """The engine of the settings, loaded; closed afterwards."""
    from backend.app import build_engine
    from backend.settings import load_settings

    engine = build_engine(load_settings())
    with activity("loading the model"):
        engine.load()
    try:
        yield engine
    finally:
        engine.close()


def _read_text(text: str | None, file: Path | None) -> str:
    if text is not None and file is not None:
        raise BadRequest("Got a text and --file; expected one of them. Leave one out.")
    if file is not None:
        try:
            return file.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise BadRequest(f"The text file cannot be read ({error.strerror}). Check the path.") from error
        except UnicodeDecodeError as error:
            raise BadRequest("The text file is not UTF-8. Save it as UTF-8.") from error
    if text not in (None, "-"):
        return str(text)
    if text is None and sys.stdin.isatty():
        raise BadRequest("There is no text. Give it as an argument, with --file, or on standard input.")
    return sys.stdin.read()


def _read_references(sounds: list[Path], words: list[str]) -> tuple[ReferenceClip, ...]:
    if len(words) > len(sounds):
        raise BadRequest(f"Got {len(words)} --reference-text for {len(sounds)} --reference; expected pairs.")
    clips = []
    for sound, text in zip(sounds, words + [""] * (len(sounds) - len(words)), strict=True):
        try:
            clips.append(ReferenceClip(sound.read_bytes(), text))
        except OSError as error:
            raise BadRequest(f"{sound.name} cannot be read ({error.strerror}). Check the path.") from error
    return tuple(clips)


def _format_of(output: Path, is_streaming: bool) -> str:
    from backend.audio.files import FILE_FORMATS
    from backend.audio.writers import FORMATS

    format = "wav" if str(output) == "-" else output.suffix.removeprefix(".").lower()
    known = dict.fromkeys(FORMATS if is_streaming else (*FORMATS, *FILE_FORMATS))
    if format not in known:
        what = "can be written as it is made" if is_streaming else "can be written"
        raise OutputError(f"'.{format}' is no sound format that {what}; those are {', '.join(known)}. Choose one.")
    return format


def _require_free(output: Path, is_overwrite: bool) -> None:
    if str(output) == "-":
        return
    if output.is_dir() or (output.exists() and not is_overwrite):
        raise OutputError(f"{output.name} exists already. Choose another name, or add --overwrite.")
    if not output.parent.is_dir():
        raise OutputError("The folder of the output does not exist. Create it first.")


def _write_whole(
    stream: SpeechStreamProtocol, output: Path, format: str, bitrate_kbps: int | None, report: Callable[[str], None]
) -> None:
    import numpy as np

    from backend.audio.files import FILE_FORMATS, write_audio
    from backend.audio.waveform import Waveform

    if format not in FILE_FORMATS:
        _write_pieces(stream, output, format, bitrate_kbps, report)
        return
    pieces = list(_reported(stream, report))
    whole = Waveform(np.concatenate([piece.samples for piece in pieces], axis=1), pieces[0].rate_hz)
    write_audio(output, whole, bitrate_kbps=bitrate_kbps)


def _write_pieces(
    stream: SpeechStreamProtocol, output: Path, format: str, bitrate_kbps: int | None, report: Callable[[str], None]
) -> None:
    is_file = str(output) != "-"
    is_whole = False
    try:
        with open(output, "wb") if is_file else nullcontext(sys.stdout.buffer) as sink:
            _push(stream, sink, format, bitrate_kbps, report)
        is_whole = True
    except OSError as error:
        raise OutputError(
            f"The output cannot be written ({error.strerror}). Check the folder and free space."
        ) from error
    finally:
        # A part of a speech must not pass for the whole.
        if is_file and not is_whole:
            output.unlink(missing_ok=True)


def _push(
    stream: SpeechStreamProtocol, sink: BinaryIO, format: str, bitrate_kbps: int | None, report: Callable[[str], None]
) -> None:
    from backend.audio.writers import open_writer

    writer = None
    for piece in _reported(stream, report):
        writer = writer or open_writer(format, piece.rate_hz, piece.n_channels, None, bitrate_kbps)
        sink.write(writer.push(piece.samples))
        sink.flush()
    if writer is not None:
        sink.write(writer.finish())


def _reported(stream: SpeechStreamProtocol, report: Callable[[str], None]) -> Iterator[Any]:
    spoken_s = 0.0
    for piece in stream:
        spoken_s += piece.duration_s
        report(f"speaking, {spoken_s:.1f} s")
        yield piece


def _tell(stream: SpeechStreamProtocol, output: Path, is_json: bool) -> None:
    metrics = stream.metrics
    to_error = str(output) == "-"
    if is_json:
        facts = {field.name: getattr(metrics, field.name) for field in fields(metrics)}
        facts |= {"finish_reason": stream.finish_reason, "ignored": stream.ignored}
        typer.echo(json.dumps(facts), err=to_error)
        return
    typer.echo(
        f"{'standard output' if to_error else output.name}: {metrics.audio_s:.2f} s in {metrics.total_s:.2f} s, "
        f"first sound after {metrics.first_audio_s:.2f} s, seed {metrics.seed}",
        err=to_error,
    )
    if stream.ignored:
        typer.echo(f"not known to this model: {', '.join(stream.ignored)}", err=True)
    if stream.finish_reason == "length":
        typer.echo("a limit cut the speech short; raise --max-new-tokens", err=True)
    if stream.finish_reason == "repetition":
        typer.echo("the model went in circles and was stopped; try another --seed", err=True)
