"""`evaluate voice`: how well a checkpoint speaks, beside its teacher and beside real recordings."""

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
        str | None, typer.Argument(metavar="[CHECKPOINT]", help="A checkpoint folder; none judges recordings alone.")
    ] = None,
    sentences: Annotated[Path | None, typer.Option(metavar="FILE", help="JSON list of what to say.")] = None,
    voices: Annotated[str | None, typer.Option(help="Voices in turn, such as ann,bob; default: all built in.")] = None,
    asr: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="A CTranslate2 Whisper model; give two.")
    ] = None,
    references: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="A corpus folder with the voices: likeness; any number.")
    ] = None,
    clones: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A corpus folder of voices to clone from their first seconds.")
    ] = None,
    teacher: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A corpus folder with the sentences as the teacher says them.")
    ] = None,
    codec: Annotated[
        str | None, typer.Option(metavar="NAME_OR_FOLDER", help="Also the teacher and recordings through this codec.")
    ] = None,
    recordings: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="A corpus folder of real speech with texts of its own.")
    ] = None,
    dnsmos: Annotated[bool, typer.Option("--dnsmos", help="Judge sound quality too.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many takes a system, spread evenly.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The first sentence's seed; each further one is one higher.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all results here.")] = None,
    markdown_file: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Write the table here.")
    ] = None,
    report_file: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Write a page with sounds here.")
    ] = None,
    cache: Annotated[Path | None, typer.Option(metavar="DIR", help="Keep takes here and go on from them.")] = None,
) -> None:
    """Measure voices: word errors, skips and loops, likeness, melody, pace and speed."""
    # Imported here: `--help` should not wait seconds for them.
    from backend.evaluation.voice.metrics import open_voice_metrics
    from backend.evaluation.voice.report import render_voice_page
    from backend.evaluation.voice.runner import evaluate_voices, read_sentences
    from backend.evaluation.voice.summary import as_markdown, summarize_voices

    for target in (json_file, markdown_file, report_file):
        require_folder(target)
    texts = [] if sentences is None else read_sentences(sentences, limit)
    panel = open_voice_metrics(asr or (), references or (), dnsmos, tells_nearest=clones is not None)
    names = [judge.name for judge in panel.judges]
    with ExitStack() as stack:
        systems = open_systems(checkpoint, voices, texts, clones, teacher, recordings or [], codec, stack)
        folder = cache or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with step_bar() as progress:
            outcome = evaluate_voices(systems, texts, panel.judges, folder, seed=seed, limit=limit, report=progress)
        rows = summarize_voices(outcome, [system.name for system in systems], names, "teacher")
        document = as_document(systems, panel, outcome, rows, len(texts), seed)
        table = as_markdown(rows, names)
        typer.echo(table)
        for name, reason in panel.absent.items():
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
    """What is asked for, in the order of the table. Raises `BadSettings` if that is nothing."""
    from backend.evaluation.voice.cloning import ClonedVoices
    from backend.evaluation.voice.systems import CodecRoundTrip, Recordings
    from backend.weights.locate import find_codec

    if (checkpoint or teacher) and not texts:
        raise BadSettings("There is nothing to say: give --sentences FILE with a JSON list.")
    systems: list[VoiceSystem] = []
    if clones is not None and checkpoint is None:
        raise BadSettings("There is nothing to clone with: give a CHECKPOINT beside --clones.")
    if checkpoint is not None:
        engine = open_engine(checkpoint, voices, stack)
        systems.append(engine)
        if clones is not None:
            systems.append(ClonedVoices.of(engine, clones))
    given = [Recordings("teacher", teacher, is_given_texts_only=True)] if teacher is not None else []
    given += [Recordings(folder.resolve().name, folder) for folder in recordings]
    for one in given:
        systems.append(one)
        if codec is not None:
            systems.append(CodecRoundTrip.open(one, find_codec(codec)))
    if not systems:
        raise BadSettings("There is nothing to judge: give a CHECKPOINT, --teacher DIR or --recordings DIR.")
    return systems


def open_engine(checkpoint: str, voices: str | None, stack: ExitStack) -> EngineVoices:
    """An engine for a checkpoint folder; it is closed with the stack."""
    from backend.evaluation.voice.systems import EngineVoices
    from backend.opt_engine import OptimizedEngine
    from backend.settings import load_settings
    from backend.weights.checkpoint import checkpoint_hash

    # Voices to clone are added to a library of their own.
    data_dir = stack.enter_context(tempfile.TemporaryDirectory())
    settings = load_settings().model_copy(update={"model_dir": checkpoint, "data_dir": data_dir})
    engine = OptimizedEngine(settings)
    stack.callback(engine.close)
    engine.load()
    built_in = [one.id for one in engine.voices() if one.is_builtin]
    chosen: list[str | None] = list(voices.split(",")) if voices else [*built_in] or [None]
    identity = f"{checkpoint_hash(Path(checkpoint))} {settings.quantization} {settings.mixed_precision}"
    return EngineVoices(engine, identity, chosen, Path(checkpoint).resolve().name)


def as_document(
    systems: list[VoiceSystem], panel: VoiceMetricSet, outcome: VoiceEvaluation, rows: list[dict[str, Any]],
    n_sentences: int, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Everything found, as one JSON object."""
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
        "judges": [{"name": judge.name, "identity": judge.identity} for judge in panel.judges],
        "absent": panel.absent,
        "summary": rows,
        "takes": takes,
        "failures": [{"system": name, "text": text, "reason": why} for name, text, why in outcome.failures],
    }
