"""The Speak page: a text, a voice, and the speech with its measures, in every file format."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import streamlit as st

from ui import labels
from ui.client import BackendClient, ReferenceAudio
from ui.plain_text import plain_text
from ui.sounds import media_type
from ui.speaking import Answer, Situation, situation, speak
from ui.streamlit_pages.settings import show_settings

TAKES = "takes"
MAX_TAKES = 8
SOUND_TYPES = ["wav", "flac", "ogg", "opus", "mp3"]
# Measures that stand out, and how they are written; the others are in a table.
CARDS = {"x-audio-seconds": "{:.1f}", "x-first-audio-ms": "{:,.0f}", "x-rtf": "{:.2f}", "x-seed": ""}


class StreamlitTake(NamedTuple):
    """One speech and all that is needed to have it again."""

    answer: Answer
    text: str
    voice: str | None
    clip: ReferenceAudio | None
    options: Mapping[str, Any]


def show(client: BackendClient) -> None:
    """Draw the page; voices, bounds and defaults come from the backend at every visit."""
    st.title("Speak")
    now = situation(client)
    _show_state(now)
    options = show_settings(now)
    voice = options.pop("voice")
    with st.form("speak", enter_to_submit=False):
        text = st.text_area(labels.TEXT, placeholder=labels.TEXT_HINT, height=140, key="text")
        with st.expander(labels.RECORDING, icon=":material/mic:"):
            upload = st.file_uploader("Sound file", type=SOUND_TYPES)
            taken = st.audio_input("Or record it now")
            words = st.text_input(labels.RECORDING_TEXT)
            has_fit = st.checkbox(labels.FIT_REFERENCE, value=True)
            has_consent = st.checkbox(labels.CONSENT)
        is_sent = st.form_submit_button(labels.SPEAK, type="primary", icon=":material/play_arrow:")
    if is_sent:
        source = upload or taken
        clip = ReferenceAudio(source.getvalue(), words) if source is not None else None
        if clip is not None and words.strip() and has_fit:
            options["fit_reference"] = True
        if clip is not None and not has_consent:
            answer = Answer(labels.RECORDING_NEEDS_CONSENT, None, [])
        else:
            with st.spinner(labels.SPEAKING):
                answer = speak(client, text, voice, clip, options)
        _keep(StreamlitTake(answer, text, voice, clip, options))
    takes: list[StreamlitTake] = st.session_state.get(TAKES, [])
    if takes:
        _show_take(client, takes[0], now)
    if len(takes) > 1:
        _show_earlier(takes[1:])


def _show_state(now: Situation) -> None:
    if now.can_speak:
        st.success(now.state, icon=":material/check_circle:")
        return
    st.warning(now.state, icon=":material/warning:")
    st.button(labels.REFRESH, icon=":material/refresh:")


def _keep(take: StreamlitTake) -> None:
    spoken = [one for one in st.session_state.get(TAKES, []) if one.answer.audio is not None]
    st.session_state[TAKES] = [take, *spoken][:MAX_TAKES]


def _show_take(client: BackendClient, take: StreamlitTake, now: Situation) -> None:
    answer, format = take.answer, take.options.get("format") or "wav"
    if answer.audio is None:
        st.error(answer.state, icon=":material/error:")
        return
    st.markdown(answer.state)
    told = dict(answer.rows)
    with st.container(key="cards"):
        for header, written in CARDS.items():
            label = labels.HEADERS[header]
            if label in told:
                st.metric(label, written.format(float(told[label])) if written else told[label], border=True)
    if format in labels.UNPLAYABLE:
        st.info(f"A browser cannot play {format}; download it, or take another format to hear it.")
    else:
        st.audio(answer.audio, format=media_type(format))
    formats = now.settings["format"].choices if "format" in now.settings else (format,)
    st.caption("Download as")
    with st.container(horizontal=True):
        for one in formats:
            # Other formats are made when they are wanted: the same text, voice and seed are the same speech.
            sound = answer.audio if one == format else partial(_again, client, take, told, one)
            st.download_button(
                one, sound, file_name=f"speech.{one}", mime=media_type(one), on_click="ignore",
                icon=":material/download:", key=f"download-{one}",
            )  # fmt: skip
    with st.expander(labels.MEASURES, icon=":material/timer:"):
        st.table([{"Measure": label, "Value": value} for label, value in answer.rows])


def _again(client: BackendClient, take: StreamlitTake, told: Mapping[str, str], format: str) -> bytes:
    """The same speech in another file format."""
    options = {**take.options, "format": format, "seed": told.get(labels.HEADERS["x-seed"], "")}
    clips = [take.clip] if take.clip else []
    return client.speak(take.text, {**options, "voice": None if clips else take.voice}, clips).audio


def _show_earlier(takes: list[StreamlitTake]) -> None:
    with st.expander(f"Earlier speeches ({len(takes)})", icon=":material/history:"):
        for take in takes:
            st.markdown(f"{plain_text(take.text[:120])} *(seed {dict(take.answer.rows).get('Seed', 'unknown')})*")
            if take.answer.audio is not None and take.options.get("format") not in labels.UNPLAYABLE:
                st.audio(take.answer.audio, format=media_type(take.options.get("format") or "wav"))
