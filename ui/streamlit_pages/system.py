"""The System page: what the backend runs on, what was done to make it fast, and its caches."""

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
    """Draw the page; every visit asks the backend anew."""
    st.title("System")
    try:
        health = client.health()
    except BackendError as error:
        st.error(f"The backend cannot be reached. {error}", icon=":material/cloud_off:")
        st.button("Refresh", icon=":material/refresh:")
        return
    st.success(f"The backend at {client.url} is up.", icon=":material/check_circle:")
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
    st.header("Optimizations, and why")
    if not notes:
        st.caption("No model is loaded, so nothing was chosen.")
        return
    rows = []
    for note in notes:
        found = NOTE.fullmatch(note)
        if found is None:
            rows.append({"Optimization": note, "State": "", "Reason": ""})
            continue
        target = TARGETS.get(found["target"], found["target"])
        rows.append({
            "Optimization": f"{found['name']} ({target})", "State": "✓ on" if found["state"] == "on" else "off",
            "Reason": found["reason"] + _measured(found["figures"] or ""),
        })  # fmt: skip
    st.table(rows)


def _measured(figures: str) -> str:
    """`ms_with_1 1.3, ms_with_2 0.9` in words, which break over lines on a phone as names do not."""
    pairs = [figure.strip().rpartition(" ") for figure in figures.split(",") if figure.strip()]
    told = ", ".join(f"{name.replace('_', ' ')}: {value}" for name, _, value in pairs)
    return f" ({told})" if told else ""


def _show_caches(client: BackendClient, caches: Mapping[str, Any]) -> None:
    st.header("Caches")
    rows = [
        {
            "Cache": name, "Entries": f"{counts.get('entries', 0)} of {counts.get('max_entries', '?')}",
            "Size": f"{counts.get('size_bytes', 0) / 2**20:.1f} MB",
            "Hits": f"{counts.get('hits', 0)} of {counts.get('hits', 0) + counts.get('misses', 0)}",
        }
        for name, counts in caches.items() if isinstance(counts, Mapping)
    ]  # fmt: skip
    if rows:
        st.table(rows)
    if st.button(
        "Clear the caches", icon=":material/delete_sweep:", help="The next requests are slower, and no different."
    ):
        try:
            st.session_state[CLEARED] = client.clear_caches()
        except BackendError as error:
            st.error(str(error), icon=":material/error:")
            return
        st.rerun()
    cleared: Mapping[str, int] | None = st.session_state.pop(CLEARED, None)
    if cleared is not None:
        told = ", ".join(f"{count} of {name}" for name, count in cleared.items()) or "nothing was kept"
        st.success(f"Cleared: {told}.", icon=":material/check_circle:")


def _show_emotions(client: BackendClient) -> None:
    try:
        groups = client.emotions().get("groups", {})
    except BackendError:
        # The page has said already what is wrong.
        return
    st.header("Emotion markers")
    if not groups:
        st.caption("This checkpoint knows none.")
    for name, markers in groups.items():
        st.markdown(f"**{name}**: " + " ".join(f"`{marker}`" for marker in markers))
