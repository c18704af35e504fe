"""Line charts over time as Vega-Lite specifications, with descriptions for screen readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

HEIGHT_PX = 200
TIME, LINE, VALUE = "Time", "Line", "Value"


class LineChart(NamedTuple):
    """The points, one per row, and the Vega-Lite specification."""

    rows: list[dict[str, Any]]
    spec: dict[str, Any]


def line_chart(
    title: str, unit: str, times: Sequence[datetime], lines: Mapping[str, Sequence[float | None]]
) -> LineChart:
    """Return a chart of `lines`, values by label, with the axis starting at zero; None interrupts a line."""
    rows: list[dict[str, Any]] = [
        {TIME: when, LINE: label, VALUE: value}
        for label, values in lines.items()
        for when, value in zip(times, values, strict=True)
    ]
    top = max((value for values in lines.values() for value in values if value is not None), default=0.0)
    spec = {
        "height": HEIGHT_PX,
        "description": describe(title, unit, lines),
        "encoding": {
            "x": {
                "field": TIME, "type": "temporal", "title": None,
                "axis": {"format": "%H:%M:%S", "tickCount": 4, "labelOverlap": True, "labelAngle": 0, "grid": False},
            },
            # For zeros alone Vega would draw an axis with a single tick, 0.000000.
            "y": {
                "field": VALUE, "type": "quantitative", "title": None, "scale": {"domain": [0, max(1.0, top)], "nice": True},
                "axis": {"tickCount": 4, "format": "~s" if top >= 10_000 else ",~r"},
            },
            "color": {
                "field": LINE, "type": "nominal", "title": None, "scale": {"domain": list(lines)},
                "legend": {"orient": "top", "offset": 6, "padding": 0, "symbolType": "stroke", "symbolStrokeWidth": 3},
            },
            "tooltip": [
                {"field": TIME, "type": "temporal", "format": "%H:%M:%S"}, {"field": LINE, "type": "nominal"},
                {"field": VALUE, "type": "quantitative", "format": ",.4~r", "title": unit},
            ],
        },
        # The description covers the content; hundreds of unnamed marks would clutter screen readers.
        "layer": [
            {"mark": {"type": "line", "aria": False}},
            {
                "mark": {"type": "point", "filled": True, "size": 60, "aria": False},
                "params": [
                    {"name": "near", "select": {"type": "point", "nearest": True, "on": "mousemove", "clear": "mouseleave"}}
                ],
                "encoding": {"opacity": {"condition": {"param": "near", "empty": False, "value": 1}, "value": 0}},
            },
        ],
    }  # fmt: skip
    return LineChart(rows, spec)


def describe(title: str, unit: str, lines: Mapping[str, Sequence[float | None]]) -> str:
    """Return the chart in one sentence: the current value and range of each line."""
    parts = []
    for label, values in lines.items():
        known = [value for value in values if value is not None]
        if known:
            parts.append(f"{label} now {known[-1]:.4g}, from {min(known):.4g} to {max(known):.4g}")
    return f"{title}, {unit}. {'; '.join(parts) or 'No data yet'}."
