"""The `data` commands; those of public datasets are in `data_sources`."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.data_sources import download_source, list_sources, prepare_recordings
from backend.errors import BadSettings

if TYPE_CHECKING:
    from backend.data.synthesis.hibari import HibariTeacher
    from backend.data.synthesis.kokoro import Kokoro

app = typer.Typer(help="Download, synthesize and prepare training data.", no_args_is_help=True)
app.command("list")(list_sources)
app.command("download")(download_source)
app.command("prepare")(prepare_recordings)

LOG_INTERVAL_S = 60.0


@app.callback()
def root() -> None:
    """Download, synthesize and prepare training data."""


@app.command()
def synthesize(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Corpus folder; an existing one is continued.")],
    hours: Annotated[float, typer.Option(min=0, help="Stop when the folder has this much speech.")] = 1.0,
    sentences: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Synthesize only this JSON list, with the speakers in turn, for evaluation."),
    ] = None,
    teacher: Annotated[str, typer.Option(help="kokoro, or hibari with its one voice.")] = "hibari",
    model: Annotated[Path | None, typer.Option(metavar="FILE", help="Kokoro-82M v1.0, int8 ONNX.")] = None,
    voices: Annotated[Path | None, typer.Option(metavar="DIR", help="Kokoro's voice files.")] = None,
    speakers: Annotated[
        str | None, typer.Option(help="Names, for example af_heart,bm_george; * and ? are wildcards.")
    ] = None,
    wordnet: Annotated[Path | None, typer.Option(metavar="DIR", help="The database files of WordNet 3.0.")] = None,
    austen: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Rdata.rdb of janeaustenr, or its folder.")
    ] = None,
    exclude: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="JSON lists of sentences to exclude.")
    ] = None,
    heldout: Annotated[
        list[str] | None,
        typer.Option(metavar="SPEAKER", help="Exclude this speaker, also from mixes; * and ? are wildcards."),
    ] = None,
    templates: Annotated[float, typer.Option(min=0, max=1, help="Share of sentences with numbers and names.")] = 0.1,
    pairs: Annotated[float, typer.Option(min=0, max=1, help="Share of utterances with two sentences.")] = 0.25,
    mixes: Annotated[float, typer.Option(min=0, max=1, help="Share of speakers mixed from two (kokoro).")] = 0.0,
    pseudo: Annotated[
        float, typer.Option(min=0, max=1, help="Share of artificial speakers that recur (kokoro).")
    ] = 0.0,
    pseudo_pool: Annotated[int, typer.Option(min=1, help="Number of artificial speakers.")] = 300,
    shifts: Annotated[float, typer.Option(min=0, max=1, help="Share of pitch-shifted speakers (hibari).")] = 0.0,
    prefix: Annotated[str, typer.Option(help="Prefix of the ids.")] = "u",
    seed: Annotated[int, typer.Option(help="Another seed samples another corpus.")] = 0,
    accent: Annotated[str, typer.Option(help="en-us, en-gb, or auto: by the first letter of a Kokoro voice.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Synthesize a training corpus with another synthesizer, with exact durations."""
    from backend.data.splits import HeldOut
    from backend.data.synthesis.corpus import CorpusConfig, given_lines, lines
    from backend.data.synthesis.corpus import synthesize as speak
    from backend.data.synthesis.text_filters import read_excluded, read_texts_file
    from backend.text.phonemes.english import EnglishPhonemizer

    if not prefix.isalpha() or not prefix.islower():
        raise BadSettings(f"--prefix is '{prefix}'; expected letters a to z.")
    synthesizer = open_teacher(teacher, model, voices, threads)
    names = match_voices(speakers, synthesizer.voices)
    plan = CorpusConfig(
        texts=() if sentences else read_texts(wordnet, austen), speakers=names, prefix=prefix, seed=seed, template_share=templates,
        pair_share=pairs, mix_share=mixes if teacher == "kokoro" else 0.0,
        pseudo_share=pseudo if teacher == "kokoro" else 0.0, n_pseudo=pseudo_pool,
        shift_share=shifts if teacher == "hibari" else 0.0,
    )  # fmt: skip
    phonemizers = {name: EnglishPhonemizer(name) for name in ("en-us", "en-gb")}
    if accent not in (*phonemizers, "auto"):
        raise BadSettings(f"--accent is '{accent}'; expected auto, en-us or en-gb.")
    n_lines: int | None = None
    if sentences is not None:
        given = read_texts_file(sentences)
        corpus, hours, n_lines = given_lines(given, names, prefix), math.inf, len(given)
    else:
        corpus = lines(plan, read_excluded(exclude or ()), HeldOut(speakers=tuple(heldout or ())))
    with hours_bar("speaking", n_lines) as progress:
        skipped = speak(
            out, corpus, synthesizer,
            lambda line: phonemizers[accent_of(line.speaker) if accent == "auto" else accent](line.text),
            hours=hours, progress=progress,
        )  # fmt: skip
    for name, reason in list(skipped.items())[:10]:
        typer.echo(f"skipped {name}: {reason}")
    typer.echo(f"'{out.name}' is complete; {len(skipped)} lines were skipped")


def open_teacher(name: str, model: Path | None, voices: Path | None, threads: int) -> Kokoro | HibariTeacher:
    """Returns the synthesizer `name`. Raises `BadSettings` for an unknown name and for missing files."""
    if name == "hibari":
        from backend.data.synthesis.hibari import HibariTeacher

        return HibariTeacher(threads)
    if name != "kokoro" or model is None or voices is None:
        raise BadSettings(f"The teacher is '{name}'; expected hibari, or kokoro with --model FILE and --voices DIR.")
    from backend.data.synthesis.kokoro import Kokoro

    return Kokoro(model, voices, threads)


def read_texts(wordnet: Path | None, austen: Path | None) -> list[str]:
    from backend.data.synthesis.austen import austen_sentences
    from backend.data.synthesis.wordnet import wordnet_sentences

    return [*(wordnet_sentences(wordnet) if wordnet else ()), *(austen_sentences(austen) if austen else ())]


def match_voices(patterns: str | None, voices: tuple[str, ...]) -> list[str]:
    """Returns the voices that match a pattern. Raises `BadSettings` for a pattern without a match."""
    names: list[str] = []
    for pattern in (patterns or "*").split(","):
        matching = [voice for voice in voices if fnmatchcase(voice, pattern)]
        if not matching:
            raise BadSettings(f"No voice matches '{pattern}'; expected one of {', '.join(voices)}. Choose among them.")
        names += [voice for voice in matching if voice not in names]
    return names


def accent_of(speaker: str) -> str:
    """Returns en-gb for Kokoro's British voices and for mixes that start with one, else en-us."""
    return "en-gb" if speaker.startswith(("bf_", "bm_")) else "en-us"


@app.command()
def tokenize(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="The manifest.jsonl of a speech corpus.")],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the token shards; an existing one is continued.")
    ],
    codec: Annotated[
        str | None, typer.Option(metavar="NAME_OR_FOLDER", help="Codec folder or checkpoint name.")
    ] = None,
    heldout: Annotated[
        list[str] | None,
        typer.Option(metavar="SPEAKER", help="Exclude this speaker and its mixes; * and ? are wildcards."),
    ] = None,
    speed_factors: Annotated[
        str | None,
        typer.Option(
            "--played", metavar="FACTORS", help="Speed perturbation, for example 0.88,1.12; each is a new speaker."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, mps, cuda or cuda:N.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Encode a speech corpus to token shards, with the position of each symbol in the frames."""
    # Imported here, so that `--help` stays fast.
    import torch

    from backend.data.manifest import Clip
    from backend.data.splits import HeldOut
    from backend.data.token_shards import ShardSpec, ShardWriter
    from backend.data.utterances import perturb_speeds, read_utterances
    from backend.device import find_device
    from backend.pipeline.codec.tokenize_corpus import tokenize_corpus
    from backend.weights import codes_hash, load_codec
    from backend.weights.locate import find_codec

    torch.set_num_threads(threads)
    held_out = HeldOut(speakers=tuple(heldout or ()))
    utterances = [
        item for item in read_utterances(manifest) if not held_out.covers(Clip(item.id, item.path, item.speaker))
    ]
    if speed_factors is not None:
        utterances = perturb_speeds(utterances, read_factors(speed_factors))
    folder = find_codec(codec)
    model = load_codec(folder, find_device(device).torch_device())
    spec = model.spec
    writer = ShardWriter(
        out, ShardSpec(spec.name, codes_hash(folder), spec.sample_rate_hz, spec.hop_samples, spec.codebook_sizes)
    )
    with progress_bar("tokenizing") as progress:
        report = tokenize_corpus(utterances, model, writer, progress=progress)
    typer.echo(
        f"{report.n_written} utterances written ({report.duration_s / 3600:.2f} h, {report.n_aligned} aligned), "
        f"{report.n_present} already present, {len(report.skipped)} skipped"
    )
    for name, reason in list(report.skipped.items())[:10]:
        typer.echo(f"skipped {name}: {reason}")


def read_factors(text: str) -> list[float]:
    """Parses comma-separated factors. Raises `BadSettings` unless all are in 0.5...2."""
    try:
        factors = [float(part) for part in text.split(",")]
    except ValueError:
        factors = []
    if not factors or not all(0.5 <= factor <= 2.0 for factor in factors):
        raise BadSettings(f"--played is '{text}'; expected factors from 0.5 to 2, for example 0.88,1.12.")
    return factors


@contextmanager
def hours_bar(label: str, n_lines: int | None) -> Iterator[Callable[[float, float], None]]:
    """Shows progress in minutes of audio, or in lines if `n_lines` is known."""
    counter = count(1)
    with progress_bar(label) as progress:
        if n_lines is None:
            yield lambda done, total: progress(int(done * 60), round(total * 60))
        else:
            yield lambda done, total: progress(next(counter), n_lines)


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Shows a progress bar with the remaining time on a terminal, else prints one line a minute."""
    if not sys.stderr.isatty():
        start = last = time.monotonic()
        first: int | None = None  # items that were present at the start do not count for the rate

        def print_line(done: int, total: int) -> None:
            nonlocal last, first
            first = done if first is None else first
            now = time.monotonic()
            if done > first and now - last >= LOG_INTERVAL_S:
                last = now
                left_min = (now - start) / (done - first) * (total - done) / 60
                typer.echo(f"{label} {done}/{total}, about {left_min:.0f} min left", err=True)

        yield print_line
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
