"""Plots of a report, drawn with matplotlib: bitrate against quality, and spectrograms."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from backend.metrics.optional_packages import require_package
from backend.metrics.reconstruction import FLOOR, magnitudes

PANEL_INCHES = (4.2, 3.4)
SPECTROGRAM_INCHES = (4.2, 1.7)


def require_plots() -> None:
    """Raises `NotAvailable` if matplotlib is missing; call before the evaluation."""
    require_package("matplotlib", "matplotlib")


def rate_plot(document: dict[str, Any]) -> str:
    """Plots every metric's mean over the bitrate, with intervals, as SVG. Settings of one codec are connected by a
    line.
    """
    from matplotlib.figure import Figure

    metrics = [metric for metric in document["judges"] if metric["available"]]
    n_columns = min(3, len(metrics))
    n_rows = -(-len(metrics) // n_columns)
    figure = Figure(figsize=(PANEL_INCHES[0] * n_columns, PANEL_INCHES[1] * n_rows), layout="constrained")
    panels = np.atleast_1d(figure.subplots(n_rows, n_columns)).ravel()
    for panel, metric in zip(panels, metrics, strict=False):
        _draw_metric(panel, metric, document["summary"])
    for panel in panels[len(metrics) :]:
        panel.set_visible(False)
    handles = {
        label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=6, frameon=False)
    return _svg(figure)


def _draw_metric(panel: Any, metric: dict[str, Any], summary: list[dict[str, Any]]) -> None:
    families: dict[str, list[dict[str, Any]]] = {}
    for row in summary:
        if metric["name"] in row["scores"] and row["payload_kbps"] is not None:
            families.setdefault(row["system"].rpartition("-")[0], []).append(row)
    for family, rows in families.items():
        rows.sort(key=lambda row: row["payload_kbps"])
        scores = [row["scores"][metric["name"]] for row in rows]
        spread = np.array([[score["mean"] - score["low"], score["high"] - score["mean"]] for score in scores]).T
        panel.errorbar(
            [row["payload_kbps"] for row in rows], [score["mean"] for score in scores], np.maximum(spread, 0),
            marker="o", markersize=4, capsize=2, label=family,
        )  # fmt: skip
    panel.set_xscale("log")
    panel.set_xlabel("kbps, payload only")
    panel.set_title(f"{metric['title']} ({metric['better']} is better)", fontsize=9)
    panel.grid(alpha=0.3)
    ticks = [rate for rate in (0.5, 1, 2, 3, 6, 12, 24) if panel.get_xlim()[0] <= rate <= panel.get_xlim()[1]]
    panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panel.minorticks_off()


def spectrogram(samples: np.ndarray, rate_hz: int) -> bytes:
    """Renders the spectrogram of samples [N] as PNG with a range of 80 dB."""
    from matplotlib.figure import Figure

    window = max(256, 1 << (rate_hz // 40).bit_length())
    padded = np.pad(samples, (0, max(0, window - len(samples))))
    level_db = 20 * np.log10(np.maximum(magnitudes(padded, window, window // 4), FLOOR)).T
    figure = Figure(figsize=SPECTROGRAM_INCHES, layout="constrained")
    panel = figure.subplots()
    extent = (0, len(padded) / rate_hz, 0, rate_hz / 2000)
    panel.imshow(level_db, origin="lower", aspect="auto", cmap="magma", vmin=-100, vmax=-20, extent=extent)
    panel.set_ylabel("kHz", fontsize=7)
    panel.tick_params(labelsize=7)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=80)
    return file.getvalue()


def _svg(figure: Any) -> str:
    file = io.StringIO()
    # No date, so that equal figures give equal files.
    figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]
