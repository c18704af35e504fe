"""The System page: device, optimizations with their reasons, caches and emotion tags of the backend."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import streamlit as st

from ui.client import BackendClient, BackendError
from ui.health_table import health_rows

CLEARED = "cleared"
# "on: threads (lm): two threads are faster [ms_with_1 1.3, ms_with_2 0.9]"
NOTE = re.compile(
    r"(?P<state>on|off): (?P<name>\w+) \((?P<target>\w+)\): (?P<reason>.*?)(?: \[(?P<figures>[^]]*)\])?", re.S
)
TARGETS = {"lm": "language model", "codec": "codec", "process": "process"}


def show(client: BackendClient) -> None:
    """Draw the page; every run queries the backend."""
    st.title("System")
    try:
        health = client.health()
    except BackendError as error:
        st.error(f"The backend cannot be reached. {error}", icon=":material/cloud_off:")
        st.button("Refresh", icon=":material/refresh:")
        return
    st.success(f"The backend at {client.url} is running.", icon=":material/check_circle:")
    st.button("Refresh", icon=":material/refresh:")
    st.table([{"Property": label, "Value": value} for label, value in health_rows(health)])
    engine = _engine(client)
    _show_optimizations(engine.get("notes") or [])
    _show_caches(client, engine.get("caches") or {})
    _show_emotions(client)


def _engine(client: BackendClient) -> Mapping[str, Any]:
    try:
        return client.metrics().get("engine") or {}
    except BackendError as error:
        st.error(str(error), icon=":material/error:")
        return {}


def _show_optimizations(notes: list[str]) -> None:
    st.header("Optimizations")
    if not notes:
        st.caption("No model is loaded, so no optimizations were selected.")
        return
    rows = []
    for note in notes:
        match = NOTE.fullmatch(note)
        if match is None:
            rows.append({"Optimization": note, "State": "", "Reason": ""})
            continue
        target = TARGETS.get(match["target"], match["target"])
        rows.append({
            "Optimization": f"{match['name']} ({target})", "State": "✓ on" if match["state"] == "on" else "off",
            "Reason": match["reason"] + _figures_text(match["figures"] or ""),
        })  # fmt: skip
    st.table(rows)


def _figures_text(figures: str) -> str:
    """Return `ms_with_1 1.3, ms_with_2 0.9` with spaces, so that it wraps on a phone."""
    pairs = [figure.strip().rpartition(" ") for figure in figures.split(",") if figure.strip()]
    text = ", ".join(f"{name.replace('_', ' ')}: {value}" for name, _, value in pairs)
    return f" ({text})" if text else ""


def _show_caches(client: BackendClient, caches: Mapping[str, Any]) -> None:
    st.header("Caches")
    rows = [
        {
            "Cache": name, "Entries": f"{counts.get('entries', 0)} of {counts.get('max_entries', '?')}",
            "Size": f"{counts.get('size_bytes', 0) / 2**20:.1f} MB",
            "Hit rate": _hit_rate(counts),
        }
        for name, counts in caches.items() if isinstance(counts, Mapping)
    ]  # fmt: skip
    if rows:
        st.table(rows)
    if st.button(
        "Clear caches", icon=":material/delete_sweep:", help="The next requests are slower; their audio is the same."
    ):
        try:
            st.session_state[CLEARED] = client.clear_caches()
        except BackendError as error:
            st.error(str(error), icon=":material/error:")
            return
        st.rerun()
    cleared: Mapping[str, int] | None = st.session_state.pop(CLEARED, None)
    if cleared is not None:
        counts = ", ".join(f"{count} of {name}" for name, count in cleared.items()) or "the caches were empty"
        st.success(f"Cleared: {counts}.", icon=":material/check_circle:")


def _hit_rate(counts: Mapping[str, Any]) -> str:
    hits, misses = counts.get("hits", 0), counts.get("misses", 0)
    return f"{100 * hits / (hits + misses):.0f} % of {hits + misses}" if hits + misses else "–"


def _show_emotions(client: BackendClient) -> None:
    try:
        groups = client.emotions().get("groups", {})
    except BackendError:
        # The page already shows the error.
        return
    st.header("Emotion tags")
    if not groups:
        st.caption("This checkpoint has none.")
    for name, tags in groups.items():
        st.markdown(f"**{name}**: " + " ".join(f"`{tag}`" for tag in tags))
