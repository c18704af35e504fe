"""The Speak page: a text, a voice, and the speech with its measures."""

from __future__ import annotations

from typing import Any

import streamlit as st

from ui import labels
from ui.client import BackendClient, Parameter, Recording
from ui.speaking import Situation, playable, situation, speak

ANSWER = "answer"
SOUND_TYPES = ["wav", "flac", "ogg", "opus", "mp3"]


def show(client: BackendClient) -> None:
    """Draw the page; voices, bounds and defaults come from the backend at every visit."""
    now = situation(client)
    (st.success if now.can_speak else st.warning)(now.state)
    with st.form("speak"):
        text = st.text_area(labels.TEXT, placeholder=labels.TEXT_HINT)
        left, right = st.columns(2)
        voice = left.selectbox(labels.VOICE, ["", *(one.id for one in now.voices)], format_func=_names(now).__getitem__)
        seed = right.text_input(labels.SEED)
        upload = st.file_uploader(labels.RECORDING, type=SOUND_TYPES)
        words = st.text_input(labels.RECORDING_TEXT)
        with st.expander(labels.ADVANCED):
            st.caption(labels.ADVANCED_HINT)
            options = {name: _field(name, setting) for name, setting in _shown(now).items()}
        is_sent = st.form_submit_button(labels.SPEAK, type="primary")
    st.button(labels.REFRESH)
    if is_sent:
        clip = Recording(upload.getvalue(), words) if upload is not None else None
        with st.spinner(labels.SPEAKING):
            said = speak(client, text, voice, clip, {"seed": seed.strip(), **options})
        # Kept, since every click draws the page anew.
        st.session_state[ANSWER] = said, options.get("format") or "wav"
    if ANSWER in st.session_state:
        _show_answer(*st.session_state[ANSWER])


def _show_answer(said: Any, format: str) -> None:
    if said.audio is None:
        st.error(said.state)
        return
    st.markdown(said.state)
    kind = {"mp3": "audio/mpeg", "opus": "audio/ogg"}.get(format, f"audio/{format}")
    st.audio(said.audio, format=kind)
    st.download_button(labels.DOWNLOAD, said.audio, file_name=f"speech.{format}", mime=kind)
    st.table({label: [value] for label, value in said.rows})


def _names(now: Situation) -> dict[str, str]:
    return {"": labels.VOICE_DEFAULT, **{one.id: one.name for one in now.voices}}


def _shown(now: Situation) -> dict[str, Parameter]:
    return {name: now.settings[name] for name in labels.SETTINGS if name in now.settings}


def _field(name: str, setting: Parameter) -> Any:
    label, help = labels.SETTINGS[name], setting.description
    if name in labels.SWITCHES:
        return st.checkbox(label, bool(setting.default), help=help)
    if name in labels.CHOICES:
        choices = playable(setting.choices)
        return st.selectbox(label, choices, choices.index(setting.default), help=help)
    kind = int if setting.kind == "integer" else float
    low, high, default = (
        None if value is None else kind(value) for value in (setting.minimum, setting.maximum, setting.default)
    )
    step = 1 if kind is int else 0.05
    return st.number_input(label, low, high, default, step=step, help=help, placeholder="")
