"""`evaluate voice`: evaluates the speech of a checkpoint against its teacher and real recordings."""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli.progress import require_folder, step_bar, write_whole
from backend.errors import BadSettings

if TYPE_CHECKING:
    from backend.evaluation.voice.metrics import VoiceMetricSet
    from backend.evaluation.voice.runner import VoiceEvaluation
    from backend.evaluation.voice.systems import EngineVoices, VoiceSystem

FORMAT = 1


def voice(
    checkpoint: Annotated[
        str | None,
        typer.Argument(metavar="[CHECKPOINT]", help="Checkpoint folder; omit it to evaluate recordings only."),
    ] = None,
    sentences: Annotated[Path | None, typer.Option(metavar="FILE", help="JSON list of sentences.")] = None,
    voices: Annotated[
        str | None, typer.Option(help="Voices used in turn, for example ann,bob; default: all built-in ones.")
    ] = None,
    asr: Annotated[list[Path] | None, typer.Option(metavar="DIR", help="CTranslate2 Whisper model; give two.")] = None,
    references: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Corpus folder of the voices, for speaker similarity; may be repeated."),
    ] = None,
    clones: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Corpus folder of voices to clone from their first seconds.")
    ] = None,
    teacher: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Corpus folder with the sentences spoken by the teacher.")
    ] = None,
    codec: Annotated[
        str | None,
        typer.Option(metavar="NAME_OR_FOLDER", help="Also evaluate the teacher and recordings through this codec."),
    ] = None,
    recordings: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Corpus folder of real speech with its own texts.")
    ] = None,
    dnsmos: Annotated[bool, typer.Option("--dnsmos", help="Also measure audio quality with DNSMOS.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of takes per system, spread evenly.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first sentence; it increases by one.")] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all results to this JSON file.")
    ] = None,
    markdown_file: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Write the table to this Markdown file.")
    ] = None,
    report_file: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Write an HTML report with audio.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Cache takes in this folder and reuse them.")
    ] = None,
) -> None:
    """Evaluate voices: word error rate, skips and loops, similarity, pitch, speaking rate and speed."""
    # Imported here, so that `--help` stays fast.
    from backend.evaluation.voice.metrics import open_voice_metrics
    from backend.evaluation.voice.report import render_voice_page
    from backend.evaluation.voice.runner import evaluate_voices, read_sentences
    from backend.evaluation.voice.summary import as_markdown, summarize_voices

    for target in (json_file, markdown_file, report_file):
        require_folder(target)
    texts = [] if sentences is None else read_sentences(sentences, limit)
    metrics = open_voice_metrics(asr or (), references or (), dnsmos, reports_nearest=clones is not None)
    names = [metric.name for metric in metrics.metrics]
    with ExitStack() as stack:
        systems = open_systems(checkpoint, voices, texts, clones, teacher, recordings or [], codec, stack)
        folder = cache or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with step_bar() as progress:
            outcome = evaluate_voices(systems, texts, metrics.metrics, folder, seed=seed, limit=limit, report=progress)
        rows = summarize_voices(outcome, [system.name for system in systems], names, "teacher")
        document = as_document(systems, metrics, outcome, rows, len(texts), seed)
        table = as_markdown(rows, names)
        typer.echo(table)
        for name, reason in metrics.absent.items():
            typer.echo(f"{name} not available: {reason}")
        if json_file is not None:
            write_whole(json_file, json.dumps(document, indent=1) + "\n")
        if markdown_file is not None:
            write_whole(markdown_file, table + "\n")
        if report_file is not None:
            write_whole(report_file, render_voice_page(document, table, outcome))


def open_systems(
    checkpoint: str | None, voices: str | None, texts: list[str], clones: Path | None, teacher: Path | None,
    recordings: list[Path], codec: str | None, stack: ExitStack,
) -> list[VoiceSystem]:  # fmt: skip
    """Returns the requested systems in table order. Raises `BadSettings` if there are none."""
    from backend.evaluation.voice.cloning import ClonedVoices
    from backend.evaluation.voice.systems import CodecRoundTrip, Recordings
    from backend.weights.locate import find_codec

    if (checkpoint or teacher) and not texts:
        raise BadSettings("There are no sentences. Add --sentences FILE with a JSON list.")
    systems: list[VoiceSystem] = []
    if clones is not None and checkpoint is None:
        raise BadSettings("--clones needs a checkpoint. Add CHECKPOINT.")
    if checkpoint is not None:
        engine = open_engine(checkpoint, voices, stack)
        systems.append(engine)
        if clones is not None:
            systems.append(ClonedVoices.of(engine, clones))
    recorded = [Recordings("teacher", teacher, is_given_texts_only=True)] if teacher is not None else []
    recorded += [Recordings(folder.resolve().name, folder) for folder in recordings]
    for system in recorded:
        systems.append(system)
        if codec is not None:
            systems.append(CodecRoundTrip.open(system, find_codec(codec)))
    if not systems:
        raise BadSettings("There is nothing to evaluate. Add CHECKPOINT, --teacher DIR or --recordings DIR.")
    return systems


def open_engine(checkpoint: str, voices: str | None, stack: ExitStack) -> EngineVoices:
    """Returns an engine for a checkpoint folder; the stack closes it."""
    from backend.evaluation.voice.systems import EngineVoices
    from backend.opt_engine import OptimizedEngine
    from backend.settings import load_settings
    from backend.weights.checkpoint import checkpoint_hash

    # Cloned voices go to a temporary voice library.
    data_dir = stack.enter_context(tempfile.TemporaryDirectory())
    settings = load_settings().model_copy(update={"model_dir": checkpoint, "data_dir": data_dir})
    engine = OptimizedEngine(settings)
    stack.callback(engine.close)
    engine.load()
    built_in = [known.id for known in engine.voices() if known.is_builtin]
    chosen: list[str | None] = list(voices.split(",")) if voices else [*built_in] or [None]
    identity = f"{checkpoint_hash(Path(checkpoint))} {settings.quantization} {settings.mixed_precision}"
    return EngineVoices(engine, identity, chosen, Path(checkpoint).resolve().name)


def as_document(
    systems: list[VoiceSystem], metrics: VoiceMetricSet, outcome: VoiceEvaluation, rows: list[dict[str, Any]],
    n_sentences: int, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Returns all results as one JSON object."""
    from backend.evaluation.provenance import machine, versions
    from backend.metrics.bootstrap import LEVEL, N_RESAMPLES

    takes = [{key: value for key, value in asdict(take).items() if key != "file"} for take in outcome.takes]
    return {
        "format": FORMAT,
        "kind": "voice-evaluation",
        "created_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": ["phonogram", *sys.argv[1:]],
        "machine": machine(),
        "versions": versions(),
        "intervals": {"kind": "percentile bootstrap over takes", "level": LEVEL, "resamples": N_RESAMPLES},
        "n_sentences": n_sentences,
        "seed": seed,
        "systems": [{"name": system.name, "identity": system.identity} for system in systems],
        "judges": [{"name": metric.name, "identity": metric.identity} for metric in metrics.metrics],
        "absent": metrics.absent,
        "summary": rows,
        "takes": takes,
        "failures": [{"system": name, "text": text, "reason": why} for name, text, why in outcome.failures],
    }
