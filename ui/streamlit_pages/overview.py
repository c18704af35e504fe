"""The Overview page: how the backend is doing, as cards, charts and the last requests; it keeps itself up to date."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import streamlit as st

from ui.client import BackendClient, BackendError
from ui.health_table import uptime_text
from ui.line_chart import line_chart
from ui.readings import History, MetricsReading

LOOK_EVERY_S = 2.0
MAX_SPARKS = 60
MAX_REQUESTS = 50
UNKNOWN = "–"

# Title of a chart, its unit, and the lines in it: label and field of a reading.
CHARTS = (
    ("Load", "%", {"Processor": "cpu_percent", "Card": "card_percent"}),
    ("Memory", "%", {"Machine": "machine_memory_percent", "Card": "card_memory_percent"}),
    ("Tokens", "frames of codes a second", {"All requests": "frames_per_s"}),
    ("First sound", "ms", {"Last": "first_audio_last_ms", "95 % within": "first_audio_p95_ms"}),
)


def show(client: BackendClient) -> None:
    """Draw the page; it asks the backend anew every two seconds while someone looks."""
    st.title("Overview")
    _live(client)


@st.fragment(run_every=LOOK_EVERY_S)
def _live(client: BackendClient) -> None:
    try:
        _state(client)
        readings = _history(client.url).look(client)
    except BackendError as error:
        st.error(f"The backend cannot be reached. {error}", icon=":material/cloud_off:")
        return
    _cards(readings)
    _charts(readings)
    _requests(client)


@st.cache_resource(show_spinner=False)
def _history(url: str) -> History:
    return History()


def _state(client: BackendClient) -> None:
    readiness, health = client.ready(), client.health()
    where = f"{health.device_name} ({health.device}), up for {uptime_text(health.uptime_s)}"
    if readiness.ready:
        st.success(f"**Ready to speak** on {where}.", icon=":material/check_circle:")
    elif readiness.loading:
        st.info(f"**The model is loading** on {where}.", icon=":material/hourglass_top:")
    else:
        st.warning(f"**Cannot speak yet.** {readiness.message}", icon=":material/warning:")


def _cards(readings: list[MetricsReading]) -> None:
    now = readings[-1]
    recent = readings[-MAX_SPARKS:]
    busy = UNKNOWN if now.active is None else f"{now.active:.0f} of {now.rows or 0:.0f}"
    troubles = [f"{count:.0f} {what}" for count, what in ((now.failed, "failed"), (now.refused, "refused")) if count]
    with st.container(key="cards"):
        _card("Speeches", _number(now.done), note=", ".join(troubles) or "none failed")
        _card("Sound made", UNKNOWN if now.audio_s is None else uptime_text(now.audio_s), note="since the start")
        _card("First sound after", _wait(now.first_audio_p50_ms), note=_within(now))
        _card("Real-time factor", _number(now.rtf_p50, digits=2), note="work ÷ sound")
        _card("Frames a second", _number(now.frames_per_s), sparks=[one.frames_per_s for one in recent])
        _card("Speaking now", busy, note=f"{_number(now.waiting)} waiting")
        _card("Memory", _number(now.memory_mb, " MB"), sparks=[one.memory_mb for one in recent])


def _card(label: str, value: str, note: str = "", sparks: list[float | None] | None = None) -> None:
    drawn = [point for point in sparks or [] if point is not None]
    st.metric(
        label, value, delta=note or None, delta_color="off", delta_arrow="off", border=True, height=128,
        chart_data=drawn if len(drawn) > 1 else None, chart_type="area",
    )  # fmt: skip


def _within(now: MetricsReading) -> str:
    return "" if now.first_audio_p95_ms is None else f"95 %: {_wait(now.first_audio_p95_ms)}"


def _wait(wait_ms: float | None) -> str:
    if wait_ms is None:
        return UNKNOWN
    return f"{wait_ms:.0f} ms" if wait_ms < 1000 else f"{wait_ms / 1000:.1f} s"


def _charts(readings: list[MetricsReading]) -> None:
    readings = _with_breaks(readings)
    times = [datetime.fromtimestamp(one.when_s) for one in readings]
    left, right = st.columns(2)
    for place, (title, unit, lines) in zip((left, right, left, right), CHARTS, strict=True):
        drawn = {label: [getattr(one, name) for one in readings] for label, name in lines.items()}
        drawn = {label: values for label, values in drawn.items() if any(value is not None for value in values)}
        with place.container(border=True):
            st.markdown(f"**{title}**, {unit}")
            if drawn:
                st.vega_lite_chart(*line_chart(title, unit, times, drawn))
            else:
                st.caption("Nothing to draw yet.")


def _with_breaks(readings: list[MetricsReading]) -> list[MetricsReading]:
    """An empty reading wherever nobody looked for a while: a line across would be made up."""
    drawn: list[MetricsReading] = []
    for one in readings:
        if drawn and one.when_s - drawn[-1].when_s > 5 * LOOK_EVERY_S:
            drawn.append(MetricsReading(drawn[-1].when_s + LOOK_EVERY_S))
        drawn.append(one)
    return drawn


def _requests(client: BackendClient) -> None:
    st.header("Last requests")
    try:
        found = client.recent_requests(MAX_REQUESTS)
    except BackendError as error:
        st.caption(f"The list cannot be had: {error}")
        return
    if not found:
        st.caption("None yet.")
        return
    rows: list[dict[str, Any]] = [
        {
            "Time": (one.at or "")[11:19], "Status": str(one.status), "End": one.finish, "Door": one.door,
            "Voice": one.voice or UNKNOWN, "Characters": one.n_chars, "Sound, s": one.audio_s,
            "First sound, s": one.first_audio_s, "RTF": one.rtf, "Waited, s": one.queue_s,
            "Gaps, s": one.underrun_s, "Request": one.id,
        }
        for one in found
    ]  # fmt: skip
    seconds = ("Sound, s", "First sound, s", "RTF", "Waited, s", "Gaps, s")
    numbers = {name: st.column_config.NumberColumn(format="%.2f") for name in seconds}
    st.dataframe(rows, hide_index=True, column_config=numbers)


def _number(value: float | None, unit: str = "", digits: int = 0) -> str:
    return UNKNOWN if value is None else f"{value:,.{digits}f}{unit}"
