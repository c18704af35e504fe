"""The notes of a piece as a picture: time to the right, pitch upwards, one color an instrument, drums below."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ui.responses import MusicPart

# Colors that can be told apart on light and dark, also by most people who are color-blind.
COLORS = ("#0f8f86", "#d9822b", "#7157d9", "#c23030", "#2b7fd9", "#8a8a2a", "#b0469c", "#5c7080")
HEIGHT, DRUMS_HEIGHT, N_DRUM_ROWS = 200, 40, 10


def piano_roll(parts: Sequence[MusicPart], duration_s: float) -> str:
    """Return an SVG figure with a legend; the text for screen readers names the instruments and the notes' number."""
    pitches = [note["pitch"] for part in parts if not part.is_drums for note in part.notes]
    low, high = min(pitches, default=60) - 1, max(pitches, default=72) + 1
    has_drums = any(part.is_drums for part in parts)
    row = HEIGHT / (high - low + 1)
    marks, legend = [], []
    for i, part in enumerate(parts):
        color = COLORS[i % len(COLORS)]
        name = escape(part.instrument)
        legend.append(f'<span style="color:{color}">&#9632;</span> {name}')
        for note in part.notes:
            x = 1000 * note["start_s"] / duration_s
            width = max(1.5, 1000 * note["duration_s"] / duration_s)
            if part.is_drums:
                y, height = HEIGHT + 4 + note["pitch"] % N_DRUM_ROWS * DRUMS_HEIGHT / N_DRUM_ROWS, 3.0
                width = min(width, 4.0)
            else:
                y, height = (high - note["pitch"]) * row, max(row * 0.9, 1.5)
            opacity = 0.45 + 0.55 * min(note["velocity"], 127) / 127
            marks.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{color}" '
                f'opacity="{opacity:.2f}"/>'
            )
    total = sum(len(part.notes) for part in parts)
    said = escape(f"{total} notes of {', '.join(part.instrument for part in parts)} over {duration_s:.0f} seconds")
    height = HEIGHT + (DRUMS_HEIGHT + 8 if has_drums else 0)
    return (
        f'<figure class="pg-roll" style="margin:0"><svg viewBox="0 0 1000 {height}" preserveAspectRatio="none" role="img" '
        f'aria-label="{said}" style="width:100%;height:{height}px">{"".join(marks)}</svg>'
        f"<figcaption>{' &nbsp; '.join(legend)}</figcaption></figure>"
    )
