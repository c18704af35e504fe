"""`phonogram speak` and `phonogram voices`: run the engine in this process, without a server."""

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

Sampling = Annotated[float | None, typer.Option(show_default="of the voice")]


def speak(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Output file: .wav .flac .mp3 .opus .aac .m4b .ogg .pcm; - for WAV on standard output.")
    ],
    text: Annotated[str | None, typer.Argument(help="The text; - or no argument reads standard input.")] = None,
    text_file: Annotated[Path | None, typer.Option("--file", help="Read the text from this file.")] = None,
    voice: Annotated[str | None, typer.Option(help="Voice id or name from `phonogram voices`.")] = None,
    reference: Annotated[
        list[Path] | None, typer.Option(help="Reference audio for voice cloning; may be repeated.")
    ] = None,
    reference_text: Annotated[
        list[str] | None, typer.Option(help="Transcript of each --reference, in the same order.")
    ] = None,
    is_adapted: Annotated[
        bool, typer.Option("--fit/--no-fit", help="Adapt the voice to references with transcripts: slower, more similar.")
    ] = True,
    seed: Annotated[int | None, typer.Option(help="The same seed reproduces the same speech.")] = None,
    temperature: Sampling = None,
    top_p: Sampling = None,
    top_k: Annotated[int | None, typer.Option(show_default="of the voice")] = None,
    min_p: Sampling = None,
    repetition_penalty: Sampling = None,
    max_new_tokens: Annotated[int | None, typer.Option(help="Maximum frames per text segment.")] = None,
    chunk_length: Annotated[int | None, typer.Option(help="Split long text into segments of about this many bytes.")] = None,
    speed: Annotated[float | None, typer.Option(help="2 halves the duration.", show_default="1")] = None,
    pitch: Annotated[float | None, typer.Option(help="Pitch shift in semitones, -12 to 12.", show_default="0")] = None,
    loudness_lufs: Annotated[float | None, typer.Option(help="Normalize to this loudness.")] = None,
    markup: Annotated[str | None, typer.Option(help="plain, markup or ssml.", show_default="plain")] = None,
    normalize: Annotated[bool | None, typer.Option(help="Expand numbers and dates into words.", show_default="yes")] = None,
    is_streaming: Annotated[
        bool, typer.Option("--stream", help="Write audio to the file while it is generated (all except .ogg).")
    ] = False,
    bitrate_kbps: Annotated[
        int | None, typer.Option(help="Bitrate of .mp3, .opus, .aac and .m4b.", show_default="128, 64, 96, 96")
    ] = None,
    is_json: Annotated[bool, typer.Option("--json", help="Print the metrics as one JSON object.")] = False,
    is_overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")] = False,
) -> None:  # fmt: skip
    """Synthesize a text to an audio file."""
    format = _format_of(output, is_streaming)
    _require_free(output, is_overwrite)
    options = {
        "voice": voice, "seed": seed, "temperature": temperature, "top_p": top_p, "top_k": top_k, "min_p": min_p,
        "repetition_penalty": repetition_penalty, "max_new_tokens": max_new_tokens, "chunk_length": chunk_length,
        "speed": speed, "pitch": pitch, "loudness_lufs": loudness_lufs, "markup": markup, "normalize": normalize,
    }  # fmt: skip
    references = _read_references(reference or [], reference_text or [])
    request = SpeechRequest(
        text=_read_text(text, text_file),
        references=references,
        fit_reference=is_adapted and bool(references) and all(clip.text.strip() for clip in references),
        whole=not is_streaming and str(output) != "-",
        **{name: value for name, value in options.items() if value is not None},  # type: ignore[arg-type]
    )
    from backend.audio.writers import FORMATS, open_writer

    with loaded_engine() as engine, activity("speaking") as report:
        stream = engine.begin(request)
        try:
            # Reports an unsupported format or bitrate before generating.
            open_writer(format if format in FORMATS else "wav", stream.sample_rate_hz, 1, None, bitrate_kbps)
            if is_streaming or str(output) == "-":
                _write_streaming(stream, output, format, bitrate_kbps, report)
            else:
                _write_whole(stream, output, format, bitrate_kbps, report)
        finally:
            stream.cancel()
    _print_metrics(stream, output, is_json)


def voices(is_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False) -> None:
    """List the voices."""
    with loaded_engine() as engine:
        known = engine.voices()
    if is_json:
        columns = ("id", "name", "gender", "accent", "is_builtin")
        typer.echo(json.dumps([{name: getattr(voice, name) for name in columns} for voice in known]))
        return
    for voice in known:
        kind = "built in" if voice.is_builtin else f"added by you, from {voice.duration_s or 0:.0f} s of speech"
        typer.echo(f"{voice.id:<14} {voice.name:<14} {voice.gender:<7} {voice.accent:<9} {kind}".rstrip())
    if not known:
        typer.echo("There are no voices: use --reference, or add a voice on the web page.", err=True)


@contextmanager
def loaded_engine() -> Iterator[SpeechEngine]:
    """Yields the loaded engine for the settings, and closes it afterwards."""
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
        raise BadRequest("Got a text and --file; expected one of them. Remove one.")
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
        raise BadRequest("There is no text. Pass it as an argument, with --file, or on standard input.")
    return sys.stdin.read()


def _read_references(files: list[Path], texts: list[str]) -> tuple[ReferenceClip, ...]:
    if len(texts) > len(files):
        raise BadRequest(f"Got {len(texts)} --reference-text for {len(files)} --reference; expected pairs.")
    clips = []
    for file, text in zip(files, texts + [""] * (len(files) - len(texts)), strict=True):
        try:
            clips.append(ReferenceClip(file.read_bytes(), text))
        except OSError as error:
            raise BadRequest(f"{file.name} cannot be read ({error.strerror}). Check the path.") from error
    return tuple(clips)


def _format_of(output: Path, is_streaming: bool) -> str:
    from backend.audio.files import FILE_FORMATS
    from backend.audio.writers import FORMATS

    format = "wav" if str(output) == "-" else output.suffix.removeprefix(".").lower()
    known = dict.fromkeys(FORMATS if is_streaming else (*FORMATS, *FILE_FORMATS))
    if format not in known:
        kind = "a streaming audio format" if is_streaming else "a supported audio format"
        raise OutputError(f"'.{format}' is not {kind}; expected one of {', '.join(known)}. Choose one.")
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
        _write_streaming(stream, output, format, bitrate_kbps, report)
        return
    chunks = list(_reported(stream, report))
    whole = Waveform(np.concatenate([chunk.samples for chunk in chunks], axis=1), chunks[0].rate_hz)
    write_audio(output, whole, bitrate_kbps=bitrate_kbps)


def _write_streaming(
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
        # A partial file must not pass for a complete one.
        if is_file and not is_whole:
            output.unlink(missing_ok=True)


def _push(
    stream: SpeechStreamProtocol, sink: BinaryIO, format: str, bitrate_kbps: int | None, report: Callable[[str], None]
) -> None:
    from backend.audio.writers import open_writer

    writer = None
    for chunk in _reported(stream, report):
        writer = writer or open_writer(format, chunk.rate_hz, chunk.n_channels, None, bitrate_kbps)
        sink.write(writer.push(chunk.samples))
        sink.flush()
    if writer is not None:
        sink.write(writer.finish())


def _reported(stream: SpeechStreamProtocol, report: Callable[[str], None]) -> Iterator[Any]:
    spoken_s = 0.0
    for chunk in stream:
        spoken_s += chunk.duration_s
        report(f"speaking, {spoken_s:.1f} s")
        yield chunk


def _print_metrics(stream: SpeechStreamProtocol, output: Path, is_json: bool) -> None:
    metrics = stream.metrics
    to_error = str(output) == "-"
    if is_json:
        values = {field.name: getattr(metrics, field.name) for field in fields(metrics)}
        values |= {"finish_reason": stream.finish_reason, "ignored": stream.ignored}
        typer.echo(json.dumps(values), err=to_error)
        return
    typer.echo(
        f"{'standard output' if to_error else output.name}: {metrics.audio_s:.2f} s in {metrics.total_s:.2f} s, "
        f"first audio after {metrics.first_audio_s:.2f} s, seed {metrics.seed}",
        err=to_error,
    )
    if stream.ignored:
        typer.echo(f"not supported by this model: {', '.join(stream.ignored)}", err=True)
    if stream.finish_reason == "length":
        typer.echo("the speech was truncated at a limit; raise --max-new-tokens", err=True)
    if stream.finish_reason == "repetition":
        typer.echo("generation was stopped because it repeated itself; try another --seed", err=True)
