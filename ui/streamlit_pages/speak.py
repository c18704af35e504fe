"""The Speak page: synthesizes a text and shows the audio with metrics and downloads in every format."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import streamlit as st

from ui import labels
from ui.client import BackendClient, ReferenceAudio
from ui.markdown import escape_markdown
from ui.media_types import media_type
from ui.speech import BackendState, SpeechOutcome, backend_state, speak
from ui.streamlit_pages.settings import show_settings

TAKES = "takes"
MAX_TAKES = 8
SOUND_TYPES = ["wav", "flac", "ogg", "opus", "mp3"]
# Metrics shown as cards, with their format; the others are in a table.
CARDS = {"x-audio-seconds": "{:.1f}", "x-first-audio-ms": "{:,.0f}", "x-rtf": "{:.2f}", "x-seed": ""}


class StreamlitTake(NamedTuple):
    """A speech with everything needed to generate it again."""

    outcome: SpeechOutcome
    text: str
    voice: str | None
    reference: ReferenceAudio | None
    options: Mapping[str, Any]


def show(client: BackendClient) -> None:
    """Draw the page; voices, bounds and defaults are loaded from the backend on every run."""
    st.title("Speak")
    state = backend_state(client)
    _show_state(state)
    options = show_settings(state)
    voice = options.pop("voice")
    with st.form("speak", enter_to_submit=False):
        text = st.text_area(labels.TEXT, placeholder=labels.TEXT_HINT, height=140, key="text")
        with st.expander(labels.RECORDING, icon=":material/mic:"):
            upload = st.file_uploader("Audio file", type=SOUND_TYPES)
            recording = st.audio_input("Or record now")
            transcript = st.text_input(labels.RECORDING_TEXT)
            is_adapted = st.checkbox(labels.FIT_REFERENCE, value=True)
            has_consent = st.checkbox(labels.CONSENT)
        is_sent = st.form_submit_button(labels.SPEAK, type="primary", icon=":material/play_arrow:")
    if is_sent:
        source = upload or recording
        reference = ReferenceAudio(source.getvalue(), transcript) if source is not None else None
        if reference is not None and transcript.strip() and is_adapted:
            options["fit_reference"] = True
        if reference is not None and not has_consent:
            outcome = SpeechOutcome(labels.RECORDING_NEEDS_CONSENT, None, [])
        else:
            with st.spinner(labels.SPEAKING):
                outcome = speak(client, text, voice, reference, options)
        _keep(StreamlitTake(outcome, text, voice, reference, options))
    takes: list[StreamlitTake] = st.session_state.get(TAKES, [])
    if takes:
        _show_take(client, takes[0], state)
    if len(takes) > 1:
        _show_earlier(takes[1:])


def _show_state(state: BackendState) -> None:
    if state.is_ready:
        st.success(state.message, icon=":material/check_circle:")
        return
    st.warning(state.message, icon=":material/warning:")
    st.button(labels.REFRESH, icon=":material/refresh:")


def _keep(take: StreamlitTake) -> None:
    previous = [one for one in st.session_state.get(TAKES, []) if one.outcome.audio is not None]
    st.session_state[TAKES] = [take, *previous][:MAX_TAKES]


def _show_take(client: BackendClient, take: StreamlitTake, state: BackendState) -> None:
    outcome, format = take.outcome, take.options.get("format") or "wav"
    if outcome.audio is None:
        st.error(outcome.message, icon=":material/error:")
        return
    st.markdown(outcome.message)
    metrics = dict(outcome.rows)
    with st.container(key="cards"):
        for header, number_format in CARDS.items():
            label = labels.HEADERS[header]
            if label in metrics:
                value = metrics[label]
                st.metric(label, number_format.format(float(value)) if number_format else value, border=True)
    if format in labels.UNPLAYABLE:
        st.info(f"Browsers cannot play {format}. Download the file, or choose another format to play it here.")
    else:
        st.audio(outcome.audio, format=media_type(format))
    formats = state.settings["format"].choices if "format" in state.settings else (format,)
    st.caption("Download as")
    with st.container(horizontal=True):
        for one in formats:
            # Other formats are generated on download: the same text, voice and seed give the same audio.
            audio = outcome.audio if one == format else partial(_convert, client, take, metrics, one)
            st.download_button(
                one, audio, file_name=f"speech.{one}", mime=media_type(one), on_click="ignore",
                icon=":material/download:", key=f"download-{one}",
            )  # fmt: skip
    with st.expander(labels.METRICS, icon=":material/timer:"):
        st.table([{"Metric": label, "Value": value} for label, value in outcome.rows])


def _convert(client: BackendClient, take: StreamlitTake, metrics: Mapping[str, str], format: str) -> bytes:
    """Return the same speech in another file format."""
    options = {**take.options, "format": format, "seed": metrics.get(labels.HEADERS["x-seed"], "")}
    references = [take.reference] if take.reference else []
    return client.speak(take.text, {**options, "voice": None if references else take.voice}, references).audio


def _show_earlier(takes: list[StreamlitTake]) -> None:
    with st.expander(f"Previous speech ({len(takes)})", icon=":material/history:"):
        for take in takes:
            st.markdown(f"{escape_markdown(take.text[:120])} *(seed {dict(take.outcome.rows).get('Seed', 'unknown')})*")
            if take.outcome.audio is not None and take.options.get("format") not in labels.UNPLAYABLE:
                st.audio(take.outcome.audio, format=media_type(take.options.get("format") or "wav"))
