"""The `evaluate` commands: `evaluate codec` and `evaluate voice`."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli.evaluate_lossless import lossless
from backend.cli.evaluate_voice import voice
from backend.cli.progress import require_folder, step_bar, write_whole
from backend.errors import BadAudio, BadSettings

if TYPE_CHECKING:
    from backend.evaluation.codec.metrics import MetricSet
    from backend.evaluation.codec.runner import CodecEvaluation
    from backend.evaluation.codec.systems import System

FORMAT = 1

app = typer.Typer(help="Evaluate codecs and voices against baselines, with independent metrics.", no_args_is_help=True)
app.command()(voice)
app.command()(lossless)


@app.callback()
def root() -> None:
    """Evaluate codecs and voices against baselines, with independent metrics."""


@app.command()
def codec(
    checkpoint: Annotated[str, typer.Argument(metavar="CHECKPOINT", help="Codec folder or checkpoint name.")],
    audio: Annotated[Path, typer.Option(metavar="DIR", help="Folder with audio files, searched recursively.")],
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all results to this JSON file.")
    ] = None,
    report_file: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Write an HTML report with plots and audio.")
    ] = None,
    codebooks: Annotated[
        str | None, typer.Option(help="Numbers of codebooks, for example 2,4,8; default: a quarter, half and all.")
    ] = None,
    baselines: Annotated[
        str | None,
        typer.Option("--peers", help="Baseline codecs, for example opus-12,codec2-3200; 'none' turns them off."),
    ] = None,
    lyra: Annotated[Path | None, typer.Option(metavar="DIR", help="TFLite files of Lyra v2.")] = None,
    asr: Annotated[
        Path | None, typer.Option(metavar="DIR", help="CTranslate2 Whisper model, for the word error rate.")
    ] = None,
    transcripts: Annotated[Path | None, typer.Option(metavar="FILE", help="JSON lines with 'file' and 'text'.")] = None,
    classes: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="JSON lines with 'file' and 'class': general audio metrics, rows per class."),
    ] = None,
    speaker: Annotated[bool, typer.Option("--speaker", help="Also measure speaker similarity.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Use this many of the files, spread evenly.")] = None,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Cache results in this folder and reuse them.")
    ] = None,
) -> None:
    """Evaluate a codec at several bitrates against Opus, Codec 2 and others on the same audio."""
    # Imported here, so that `--help` stays fast.
    from backend.evaluation.baselines.registry import DEFAULT_BASELINES, DEFAULT_SOUND_BASELINES, open_baselines
    from backend.evaluation.codec.metrics import RATE_HZ, open_metrics
    from backend.evaluation.codec.runner import evaluate, find_sounds, read_transcripts
    from backend.evaluation.codec.sound_metrics import open_sound_metrics, read_classes, summarize_classes
    from backend.evaluation.codec.summary import compare, summarize
    from backend.evaluation.codec.systems import codec_systems
    from backend.evaluation.result_cache import ResultCache
    from backend.weights.locate import find_codec

    for target in (json_file, report_file):
        require_folder(target)
    if report_file is not None:
        from backend.evaluation.codec.plots import require_plots

        require_plots()
    files = find_sounds(audio, limit)
    texts = None if transcripts is None else read_transcripts(transcripts)
    classes_of = None if classes is None else read_classes(classes)
    default = DEFAULT_BASELINES if classes is None else DEFAULT_SOUND_BASELINES
    names = default if baselines is None else () if baselines == "none" else tuple(baselines.split(","))
    others, unavailable = open_baselines(names, lyra)
    folder = find_codec(checkpoint)
    ours = codec_systems(folder, counts(codebooks))
    rate_hz = RATE_HZ if classes is None else ours[0].codec.spec.sample_rate_hz
    metrics = open_metrics(asr, texts is not None, speaker) if classes is None else open_sound_metrics(rate_hz)
    systems: list[System] = [*ours, *others]
    with step_bar() as report:
        outcome = evaluate(
            files, audio, systems, metrics.metrics, transcripts=texts, cache=ResultCache(cache), report=report,
            rate_hz=rate_hz,
        )  # fmt: skip
    if not outcome.sounds:
        raise BadAudio(
            f"None of the {len(files)} files could be read; the first: {next(iter(outcome.skipped.values()))}"
        )
    table = summarize(outcome, [system.name for system in systems], metrics.metrics)
    differences = compare(
        outcome, [system.name for system in ours], [system.name for system in others], metrics.metrics
    )  # fmt: skip
    document = as_document(folder, ours[0].weights, metrics, systems, unavailable, outcome, table, differences)
    document["judged_at_hz"] = rate_hz
    if classes_of is not None:
        system_names = [system.name for system in systems]
        document["classes"] = summarize_classes(outcome, system_names, metrics.metrics, classes_of)
    typer.echo(as_text(document))
    if json_file is not None:
        write_whole(json_file, json.dumps(document, indent=1) + "\n")
    if report_file is not None:
        from backend.evaluation.codec.report import render_page

        write_whole(report_file, render_page(document, audio, systems))


def counts(text: str | None) -> list[int] | None:
    """Parses comma-separated numbers. Raises `BadSettings` for anything else."""
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise BadSettings(f"--codebooks is '{text}'; expected numbers, for example 2,4,8.") from error


def as_document(
    folder: Path, weights: str, metrics: MetricSet, systems: list[System], unavailable: dict[str, str], outcome: CodecEvaluation,
    table: list[dict[str, Any]], differences: list[dict[str, Any]],
) -> dict[str, Any]:  # fmt: skip
    """Returns all results as one JSON object."""
    from backend.evaluation.codec.metrics import RATE_HZ
    from backend.evaluation.codec.runner import as_json
    from backend.evaluation.provenance import machine, versions
    from backend.metrics.bootstrap import LEVEL, N_RESAMPLES
    from backend.weights.codec_checkpoint import MANIFEST, read_manifest

    manifest = read_manifest(folder) if (folder / MANIFEST).is_file() else {}
    return {
        "format": FORMAT,
        "kind": "codec-evaluation",
        "created_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": ["phonogram", *sys.argv[1:]],
        "machine": machine(),
        "versions": versions(),
        "checkpoint": {"name": folder.resolve().name, "weights_sha256": weights, "manifest": manifest},
        "judged_at_hz": RATE_HZ,
        "intervals": {"kind": "percentile bootstrap over files", "level": LEVEL, "resamples": N_RESAMPLES},
        "judges": [
            *({"name": metric.name, "title": metric.title, "better": metric.better, "identity": metric.identity,
               "available": True} for metric in metrics.metrics),
            *({"name": name, "available": False, "reason": reason} for name, reason in metrics.absent.items()),
        ],
        "systems": [
            *({"name": system.name, "identity": system.identity, "available": True} for system in systems),
            *({"name": name, "available": False, "reason": reason} for name, reason in unavailable.items()),
        ],
        "summary": table,
        "differences": differences,
        "sounds": [as_json(sound) for sound in outcome.sounds],
        "skipped": [{"file": name, "reason": reason} for name, reason in outcome.skipped.items()],
    }  # fmt: skip


def as_text(document: dict[str, Any]) -> str:
    """Returns the table of means as text, followed by missing systems and failures."""
    metrics = [metric for metric in document["judges"] if metric["available"]]
    head = ["coder", "kbps", "file kbps", "band Hz", "lag ms", *(metric["name"] for metric in metrics)]
    lines = [head]
    for row in document["summary"]:
        scores = [row["scores"].get(metric["name"]) for metric in metrics]
        lines.append([
            row["system"], number(row["payload_kbps"]), number(row["file_kbps"]), f"{row['bandwidth_hz']:.0f}",
            f"{row['lag_ms']:.1f}",
            *(_interval(score) for score in scores),
        ])  # fmt: skip
    for name, rows in document.get("classes", {}).items():
        for row in rows:
            scores = [row["scores"].get(metric["name"]) for metric in metrics]
            lines.append([f"{name}: {row['system']}", number(row["payload_kbps"]), "", f"n={row['n_files']}", "",
                          *(_interval(score) for score in scores)])  # fmt: skip
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    for part in (*document["judges"], *document["systems"]):
        if not part["available"]:
            text.append(f"{part['name']} not available: {part['reason']}")
    text += [f"skipped {item['file']}: {item['reason']}" for item in document["skipped"]]
    for sound in document["sounds"]:
        text += [f"{sound['file']}: {system} failed: {why}" for system, why in sound["failures"].items()]
        for result in sound["results"]:
            text += [f"{sound['file']}: {result['system']}: {why}" for why in result["problems"].values()]
    return "\n".join(text)


def _interval(score: dict[str, float] | None) -> str:
    if score is None:
        return "-"
    return f"{number(score['mean'])} [{number(score['low'])}, {number(score['high'])}]"


def number(value: float | None) -> str:
    """Formats a value with two or three decimal places, a dash for None."""
    if value is None:
        return "-"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"
