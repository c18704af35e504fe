"""The `phonogram` command.

Exit codes: 0 done, 2 an error in the arguments or the input (one line on standard error), 130 interrupted.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend import __version__
from backend.cli.cluster import app as cluster_app
from backend.cli.compose import compose
from backend.cli.compress import compress, decompress
from backend.cli.data import app as data_app
from backend.cli.doctor import doctor
from backend.cli.download import download
from backend.cli.evaluate import app as evaluate_app
from backend.cli.music import app as music_app
from backend.cli.progress import progress_bar
from backend.cli.read import read
from backend.cli.serve import serve
from backend.cli.speak import speak, voices
from backend.cli.train import app as train_app
from backend.cli.watermark import app as watermark_app
from backend.errors import PhonogramError

if TYPE_CHECKING:
    from backend.compression.codes.inspect import ContainerSurvey

# Commands import heavy modules when they run, so that `--help` stays fast.
# A command is a function in its own module; a group is a Typer.
app = typer.Typer(
    context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Text to speech, text to music, and audio encoded to codes and back.",
)  # fmt: skip

for command in (speak, read, voices, compose, serve, download, doctor, compress, decompress):
    app.command()(command)

app.add_typer(data_app, name="data")
app.add_typer(music_app, name="music")
app.add_typer(train_app, name="train")
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(cluster_app, name="cluster")
app.add_typer(watermark_app, name="watermark")

Codec = Annotated[
    str | None,
    typer.Option("--codec", metavar="NAME_OR_FOLDER", help="Codec folder or checkpoint name.", show_default=False),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")]


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", is_eager=True, help="Print the version and exit.")] = False,
) -> None:
    if version:
        print(f"phonogram {__version__}")
        raise typer.Exit


@app.command()
def encode(
    source: Annotated[Path, typer.Argument(metavar="AUDIO", help="A WAV, FLAC, Ogg or MP3 file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The .pgc file to write.")],
    codec: Codec = None,
    codebooks: Annotated[
        int | None, typer.Option(help="Keep the first N codebooks: lower bitrate and quality.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Encode an audio file to a code file."""
    from backend.pipeline.codec.on_disk import encode_file, require_writable
    from backend.weights import codes_hash, load_codec
    from backend.weights.locate import find_codec

    require_writable(output, source, overwrite)
    folder = find_codec(codec)
    model = load_codec(folder)
    with progress_bar("encoding") as progress:
        survey = encode_file(
            source, output, model, codes_hash(folder),
            n_codebooks=codebooks, is_overwrite=overwrite, progress=progress,
        )  # fmt: skip
    print(f"{output.name}: {describe(survey)}")


@app.command()
def decode(
    source: Annotated[Path, typer.Argument(metavar="CODES", help="A .pgc file.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The audio file to write: .wav, .flac, .ogg, .opus, .mp3.")
    ],
    codec: Codec = None,
    overwrite: Overwrite = False,
) -> None:
    """Decode a code file to an audio file, with the codec that wrote it."""
    from backend.compression.codes.inspect import survey_file
    from backend.pipeline.codec.on_disk import decode_file, require_audio_suffix, require_writable

    # Validate before loading a model.
    require_writable(output, source, overwrite)
    require_audio_suffix(output)
    survey_file(source)

    from backend.weights import codes_hash, load_codec
    from backend.weights.locate import find_codec

    folder = find_codec(codec)
    model = load_codec(folder)
    with progress_bar("decoding") as progress:
        waveform = decode_file(
            source, output, model, codes_hash(folder), is_overwrite=overwrite, progress=progress
        )  # fmt: skip
    print(f"{output.name}: {waveform.duration_s:.3f} s, {waveform.rate_hz} Hz, {waveform.n_channels} channel(s)")


@app.command()
def info(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A .pgc or .pgl file.")],
    is_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Validate a code file or lossless file and print its metadata. Bitrates are computed from the file size."""
    from backend.compression.codes.inspect import survey_file

    if source.suffix.lower() == ".pgl":
        from backend.pipeline.lossless.inspect import lossless_facts

        show_facts(lossless_facts(source), is_json)
        return
    survey = survey_file(source)
    header = survey.header
    fields = {
        "codec": header.codec,
        "weights_hash": header.weights_hash,
        "sample_rate_hz": header.sample_rate_hz,
        "channels": header.channels,
        "n_samples": survey.n_samples,
        "duration_s": survey.duration_s,
        "hop_samples": header.hop_samples,
        "n_frames": survey.n_frames,
        "n_codebooks": header.n_codebooks,
        "codebook_sizes": list(header.codebook_sizes),
        "file_bytes": survey.file_bytes,
        "payload_bytes": survey.payload_bytes,
        "file_kbps": survey.file_kbps,
        "payload_kbps": survey.payload_kbps,
    }
    show_facts(fields, is_json)


def show_facts(fields: dict[str, Any], is_json: bool) -> None:
    if is_json:
        print(json.dumps(fields))
        return
    for name, value in fields.items():
        print(f"{name:15} {f'{value:.3f}' if isinstance(value, float) else value}")


def describe(survey: ContainerSurvey) -> str:
    return (
        f"{survey.duration_s:.3f} s in {survey.n_frames} frames of {survey.header.n_codebooks} codebooks, "
        f"{survey.file_bytes} bytes, {survey.file_kbps:.3f} kbps ({survey.payload_kbps:.3f} without the container)"
    )


def main() -> None:
    """Runs the command; a `PhonogramError` becomes one line and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        # Unprintable file names must not cause a failure after the work is done.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        app()
    except PhonogramError as error:
        print(f"phonogram: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
