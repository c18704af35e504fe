"""The report of a codec evaluation: one self-contained HTML page."""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path
from typing import Any

import soundfile

from backend.audio.files import read_audio
from backend.audio.pcm import to_int16
from backend.audio.resample import resample
from backend.audio.waveform import Waveform
from backend.errors import BadAudio
from backend.evaluation.codec.plots import rate_plot, spectrogram
from backend.evaluation.codec.systems import System

N_EXAMPLES = 3
EXAMPLE_S = 4.0
MAX_RATE_HZ = 24_000

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1150px; margin: 2em auto; padding: 0 1em; color: #222; background: #fff }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; margin: 1em 0 }
th, td { padding: .25em .6em; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
small { color: #666 } .wide { overflow-x: auto } svg { max-width: 100%; height: auto }
.examples { display: grid; grid-template-columns: repeat(auto-fill, minmax(340px, 1fr)); gap: 1em }
figure { margin: 0 } figcaption { font-size: 13px } img, audio { width: 100% }
"""


def render_page(document: dict[str, Any], root: Path, systems: list[System]) -> str:
    """Renders the HTML page of an `evaluate codec` document; `root` is the folder of the audio files."""
    checkpoint = document["checkpoint"]
    title = f"Evaluation of {checkpoint['name']}"
    metrics = [metric for metric in document["judges"] if metric["available"]]
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(document['created_utc'])} · weights {escape(checkpoint['weights_sha256'][:12])} · "
        f"{len(document['sounds'])} sounds · {escape(document['machine']['cpu'])} · "
        f"version {escape(str(document['versions']['phonogram']))}</p>",
        f"<p>All metrics use audio at {document['judged_at_hz']} Hz. Bitrates are counted from bytes: <i>kbps</i> is the "
        "payload alone, <i>file kbps</i> includes the container. In brackets: 95 % bootstrap intervals over the files. "
        "<i>bandwidth</i> is the highest frequency the codec can keep.</p>",
        "<h2>Bitrate and quality</h2>", rate_plot(document), _summary(document, metrics),
        "<h2>Paired differences</h2>", _differences(document),
        "<h2>Not measured</h2>", _missing(document),
        "<h2>Examples</h2>", *_examples(document, root, systems),
        "<h2>Results per file</h2>", _every_sound(document, metrics),
        "<h2>Versions</h2>", _table(["package", "version"], [[k, v or "absent"] for k, v in document["versions"].items()]),
        f"<p><code>{escape(' '.join(document['command']))}</code></p>",
    ]  # fmt: skip
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n<body>{body}</body></html>\n'
    )


def _summary(document: dict[str, Any], metrics: list[dict[str, Any]]) -> str:
    rows = []
    for row in document["summary"]:
        cells: list[Any] = [row["system"], row["payload_kbps"], row["file_kbps"], f"{row['bandwidth_hz']:.0f}"]
        for metric in metrics:
            score = row["scores"].get(metric["name"])
            cells.append("-" if score is None else f"{score['mean']:.3f} [{score['low']:.3f}, {score['high']:.3f}]")
        rows.append(cells)
    return _table(["codec", "kbps", "file kbps", "bandwidth, Hz", *(metric["title"] for metric in metrics)], rows)


def _differences(document: dict[str, Any]) -> str:
    rows = [
        [f"{row['system']} − {row['other']}", row["judge"], f"{row['mean']:+.3f}",
         f"[{row['low']:+.3f}, {row['high']:+.3f}]", "yes" if row["is_clear"] else "no", row["n"]]
        for row in document["differences"] if row["other"] != "original"
    ]  # fmt: skip
    return _table(["codecs", "metric", "difference", "95 %", "clear", "files"], rows)


def _missing(document: dict[str, Any]) -> str:
    absent = [part for part in (*document["judges"], *document["systems"]) if not part["available"]]
    rows = [[part["name"], f"not available: {part['reason']}"] for part in absent]
    rows += [[item["file"], f"skipped: {item['reason']}"] for item in document["skipped"]]
    for sound in document["sounds"]:
        rows += [[f"{sound['file']}, {system}", f"failed: {why}"] for system, why in sound["failures"].items()]
        rows += [
            [f"{sound['file']}, {result['system']}, {metric}", why]
            for result in sound["results"] for metric, why in result["problems"].items()
        ]  # fmt: skip
    return _table(["item", "reason"], rows) if rows else "<p>Nothing is missing.</p>"


def _every_sound(document: dict[str, Any], metrics: list[dict[str, Any]]) -> str:
    rows = [
        [sound["file"], result["system"], result["payload_kbps"], result["lag_ms"],
         *(result["scores"].get(metric["name"]) for metric in metrics)]
        for sound in document["sounds"] for result in sound["results"]
    ]  # fmt: skip
    return _table(["file", "codec", "kbps", "delay, ms", *(metric["title"] for metric in metrics)], rows)


def _examples(document: dict[str, Any], root: Path, systems: list[System]) -> list[str]:
    """Renders a few files through every codec, as spectrograms and players."""
    names = [sound["file"] for sound in document["sounds"]]
    parts = []
    for name in names[:: max(1, len(names) // N_EXAMPLES)][:N_EXAMPLES]:
        sound = read_audio(root / name).mono().slice_s(0, EXAMPLE_S)
        figures = []
        for system in systems:
            try:
                decoded = system.code(sound).decoded
            except BadAudio as error:
                figures.append(f"<p>{escape(system.name)}: {escape(str(error))}</p>")
                continue
            figures.append(_figure(system.name, resample(decoded, min(decoded.rate_hz, MAX_RATE_HZ))))
        parts.append(f'<h3>{escape(name)}</h3>\n<div class="examples">{"".join(figures)}</div>')
    return parts


def _figure(name: str, waveform: Waveform) -> str:
    image = base64.b64encode(spectrogram(waveform.samples[0], waveform.rate_hz)).decode()
    file = io.BytesIO()
    # FLAC is lossless and half the size of WAV.
    soundfile.write(file, to_int16(waveform.samples.T), waveform.rate_hz, format="FLAC", subtype="PCM_16")
    sound = base64.b64encode(file.getvalue()).decode()
    return (
        f'<figure><img alt="spectrogram of {escape(name)}" src="data:image/png;base64,{image}">'
        f'<audio controls preload="none" src="data:audio/flac;base64,{sound}"></audio>'
        f"<figcaption>{escape(name)}, {waveform.rate_hz} Hz</figcaption></figure>"
    )


def _table(head: list[str], rows: list[list[Any]]) -> str:
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(_cell(value))}</td>" for value in row) + "</tr>\n" for row in rows)
    return f'<div class="wide"><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
