"""Speech settings in the sidebar of the Speak and Batch pages."""

from __future__ import annotations

from typing import Any

import streamlit as st

from ui import labels
from ui.responses import Parameter
from ui.speech import BackendState


def show_settings(state: BackendState) -> dict[str, Any]:
    """Draw voice, seed and every field of `POST /tts`; returns the values."""
    names = {"": labels.VOICE_DEFAULT, **{one.id: one.name for one in state.voices}}
    with st.sidebar:
        st.header("Settings")
        options: dict[str, Any] = {
            "voice": st.selectbox(labels.VOICE, list(names), format_func=names.__getitem__, key="voice"),
            "seed": st.text_input(labels.SEED, key="seed").strip(),
        }
        first = [name for name in ("format", "speed") if name in state.settings]
        options |= {name: _field(name, state.settings[name]) for name in first}
        with st.expander(labels.ADVANCED, icon=":material/tune:"):
            st.caption(labels.ADVANCED_HINT)
            rest = [name for name in labels.SETTINGS if name in state.settings and name not in first]
            options |= {name: _field(name, state.settings[name]) for name in rest}
    return options


def _field(name: str, setting: Parameter) -> Any:
    label, help, key = labels.SETTINGS[name], setting.description, f"set-{name}"
    if name in labels.SWITCHES:
        return st.checkbox(label, bool(setting.default), help=help, key=key)
    if name in labels.CHOICES:
        choices = list(setting.choices)
        return st.selectbox(
            label, choices, choices.index(labels.PAGE_DEFAULTS.get(name, setting.default)), help=help, key=key
        )
    kind = int if setting.kind == "integer" else float
    low, high, default = (
        None if value is None else kind(value) for value in (setting.minimum, setting.maximum, setting.default)
    )
    return st.number_input(
        label, low, high, default, step=1 if kind is int else 0.05, help=help, placeholder="model default", key=key
    )
