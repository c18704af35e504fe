"""The Overview page: live cards, charts and recent requests of the backend."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import streamlit as st

from ui.client import BackendClient, BackendError
from ui.health_table import duration_text
from ui.line_chart import line_chart
from ui.metrics_history import MetricsHistory, MetricsSample

REFRESH_S = 2.0
SPARKLINE_SAMPLES = 60
MAX_REQUESTS = 50
UNKNOWN = "–"

# Title and unit of each chart, and its lines: label and field of `MetricsSample`.
CHARTS = (
    ("Load", "%", {"CPU": "cpu_percent", "GPU": "gpu_percent"}),
    ("Memory", "%", {"System": "machine_memory_percent", "GPU": "gpu_memory_percent"}),
    ("Audio tokens", "frames per second", {"All requests": "frames_per_s"}),
    ("Time to first audio", "ms", {"Last": "first_audio_last_ms", "p95": "first_audio_p95_ms"}),
)


def show(client: BackendClient) -> None:
    """Draw the page; it refreshes every two seconds while it is open."""
    st.title("Overview")
    _live(client)


@st.fragment(run_every=REFRESH_S)
def _live(client: BackendClient) -> None:
    try:
        _show_state(client)
        samples = _history(client.url).update(client)
    except BackendError as error:
        st.error(f"The backend cannot be reached. {error}", icon=":material/cloud_off:")
        return
    _show_cards(samples)
    _show_charts(samples)
    _show_requests(client)


@st.cache_resource(show_spinner=False)
def _history(url: str) -> MetricsHistory:
    return MetricsHistory()


def _show_state(client: BackendClient) -> None:
    readiness, health = client.ready(), client.health()
    where = f"{health.device_name} ({health.device}), uptime {duration_text(health.uptime_s)}"
    if readiness.ready:
        st.success(f"**Ready to speak** on {where}.", icon=":material/check_circle:")
    elif readiness.loading:
        st.info(f"**The model is loading** on {where}.", icon=":material/hourglass_top:")
    else:
        st.warning(f"**Not ready.** {readiness.message}", icon=":material/warning:")


def _show_cards(samples: list[MetricsSample]) -> None:
    latest = samples[-1]
    recent = samples[-SPARKLINE_SAMPLES:]
    busy = UNKNOWN if latest.active is None else f"{latest.active:.0f} of {latest.rows or 0:.0f}"
    problems = [
        f"{count:.0f} {what}" for count, what in ((latest.failed, "failed"), (latest.refused, "refused")) if count
    ]
    with st.container(key="cards"):
        _card("Requests", _number(latest.done), note=", ".join(problems) or "none failed")
        _card(
            "Audio generated",
            UNKNOWN if latest.audio_s is None else duration_text(latest.audio_s),
            note="since the start",
        )
        _card("Time to first audio", _latency(latest.first_audio_p50_ms), note=_p95(latest))
        _card("Real-time factor", _number(latest.rtf_p50, digits=2), note="processing time ÷ audio")
        _card("Frames per second", _number(latest.frames_per_s), sparkline=[one.frames_per_s for one in recent])
        _card("Active requests", busy, note=f"{_number(latest.waiting)} queued")
        _card("Memory", _number(latest.memory_mb, " MB"), sparkline=[one.memory_mb for one in recent])


def _card(label: str, value: str, note: str = "", sparkline: list[float | None] | None = None) -> None:
    points = [point for point in sparkline or [] if point is not None]
    st.metric(
        label, value, delta=note or None, delta_color="off", delta_arrow="off", border=True, height=128,
        chart_data=points if len(points) > 1 else None, chart_type="area",
    )  # fmt: skip


def _p95(sample: MetricsSample) -> str:
    return "" if sample.first_audio_p95_ms is None else f"p95: {_latency(sample.first_audio_p95_ms)}"


def _latency(latency_ms: float | None) -> str:
    if latency_ms is None:
        return UNKNOWN
    return f"{latency_ms:.0f} ms" if latency_ms < 1000 else f"{latency_ms / 1000:.1f} s"


def _show_charts(samples: list[MetricsSample]) -> None:
    samples = _with_breaks(samples)
    times = [datetime.fromtimestamp(one.time_s) for one in samples]
    left, right = st.columns(2)
    for place, (title, unit, lines) in zip((left, right, left, right), CHARTS, strict=True):
        drawn = {label: [getattr(one, name) for one in samples] for label, name in lines.items()}
        drawn = {label: values for label, values in drawn.items() if any(value is not None for value in values)}
        with place.container(border=True):
            st.markdown(f"**{title}**, {unit}")
            if drawn:
                st.vega_lite_chart(*line_chart(title, unit, times, drawn))
            else:
                st.caption("No data yet.")


def _with_breaks(samples: list[MetricsSample]) -> list[MetricsSample]:
    """Insert an empty sample where sampling paused, so that lines do not cross the gap."""
    drawn: list[MetricsSample] = []
    for one in samples:
        if drawn and one.time_s - drawn[-1].time_s > 5 * REFRESH_S:
            drawn.append(MetricsSample(drawn[-1].time_s + REFRESH_S))
        drawn.append(one)
    return drawn


def _show_requests(client: BackendClient) -> None:
    st.header("Recent requests")
    try:
        requests = client.recent_requests(MAX_REQUESTS)
    except BackendError as error:
        st.caption(f"The list is not available: {error}")
        return
    if not requests:
        st.caption("No requests yet.")
        return
    rows: list[dict[str, Any]] = [
        {
            "Time": (one.at or "")[11:19], "Status": str(one.status), "Result": one.finish, "Endpoint": one.door,
            "Voice": one.voice or UNKNOWN, "Characters": one.n_chars, "Audio, s": one.audio_s,
            "First audio, s": one.first_audio_s, "RTF": one.rtf, "Queue time, s": one.queue_s,
            "Underruns, s": one.underrun_s, "Request": one.id,
        }
        for one in requests
    ]  # fmt: skip
    seconds = ("Audio, s", "First audio, s", "RTF", "Queue time, s", "Underruns, s")
    numbers = {name: st.column_config.NumberColumn(format="%.2f") for name in seconds}
    st.dataframe(rows, hide_index=True, column_config=numbers)


def _number(value: float | None, unit: str = "", digits: int = 0) -> str:
    return UNKNOWN if value is None else f"{value:,.{digits}f}{unit}"
