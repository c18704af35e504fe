"""The comparison of lossless coders as a table in the terminal and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backend.errors import NotAvailable


def lossless_table(document: dict[str, Any]) -> str:
    """The summary, the files beside flac-8, what was left out and what looks lossy."""
    lines = [
        f"{'coder':16} {'% of WAV':>9} {'% of flac-8':>12} {'median':>8} {'worst':>8} {'encode x':>9} {'decode x':>9}  exact"
    ]
    for row in document["summary"]:
        lines.append(
            f"{row['coder']:16} {100 * row['pooled_share']:9.2f} {_percent(row['pooled_beside_flac8']):>12} "
            f"{_percent(row['median_beside_flac8']):>8} {_percent(row['worst_beside_flac8']):>8} "
            f"{row['encode_times_real']:9.1f} {row['decode_times_real']:9.1f}  {'yes' if row['is_exact'] else 'NO'}"
        )
    coders = [row["coder"] for row in document["summary"]]
    lines += ["", f"{'% of WAV':40} " + " ".join(f"{name:>13}" for name in coders)]
    files: dict[str, dict[str, float]] = {}
    for one in document["files"]:
        files.setdefault(one["file"], {})[one["coder"]] = one["share"]
    for name, shares in files.items():
        lines.append(f"{name[-40:]:40} " + " ".join(f"{100 * shares[coder]:13.2f}" for coder in coders))
    for name, cutoff in document["looks_lossy_above_hz"].items():
        lines.append(f"{name}: nothing above {cutoff / 1000:.1f} kHz; it may come from a lossy file.")
    lines += [f"{name}: left out ({reason})" for name, reason in {**document["absent"], **document["skipped"]}.items()]
    return "\n".join(lines)


def save_lossless_plot(document: dict[str, Any], path: Path) -> None:
    """Size beside decoding speed, a point a coder. Raises `NotAvailable` without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise NotAvailable("matplotlib is not installed. Install the extra 'eval', or leave out --plot.") from error
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for row in document["summary"]:
        x, y = row["decode_times_real"], 100 * row["pooled_share"]
        axes.scatter([x], [y], marker="o" if row["coder"].startswith("phonogram") else "x")
        axes.annotate(row["coder"], (x, y), xytext=(5, 5), textcoords="offset points")
    axes.set_xscale("log")
    axes.set_xlabel("decoding, times real time on one core")
    axes.set_ylabel("% of the WAV files")
    axes.grid(alpha=0.3)
    figure.savefig(path)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f}"
