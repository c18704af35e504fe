"""The Voices page: preview, add, rename and delete voices."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from ui import labels
from ui.client import BackendClient, BackendError, ReferenceAudio
from ui.health_table import duration_text
from ui.markdown import escape_markdown
from ui.responses import VoiceInfo

SOUND_TYPES = ["wav", "flac", "ogg", "opus", "mp3"]
MESSAGE, PREVIEWS = "voices-message", "voices-previews"
N_COLUMNS = 3
GUIDE = (
    "Use 5 to 20 seconds of clear speech by one person, without music or echo. "
    "Add a voice only with its owner's consent. The recording stays on this server until you delete the voice."
)


def show(client: BackendClient) -> None:
    """Draw the page; every run loads the list."""
    st.title("Voices")
    message: str | None = st.session_state.pop(MESSAGE, None)
    if message:
        st.success(message, icon=":material/check_circle:")
    try:
        voices = client.voices()
    except BackendError as error:
        st.error(str(error), icon=":material/error:")
        st.button(labels.REFRESH, icon=":material/refresh:")
        return
    added = [voice for voice in voices if not voice.is_builtin]
    _show_add_form(client)
    st.header(f"Added voices ({len(added)})")
    if not added:
        st.caption("No added voices yet.")
    _show_cards(client, added)
    built_in = [voice for voice in voices if voice.is_builtin]
    if built_in:
        st.header(f"Built-in voices ({len(built_in)})")
        _show_cards(client, built_in)


def _show_add_form(client: BackendClient) -> None:
    with st.expander("Add a voice", icon=":material/person_add:"), st.form("add-voice", enter_to_submit=False):
        st.caption(GUIDE)
        name = st.text_input("Name", max_chars=64)
        upload = st.file_uploader("Audio file", type=SOUND_TYPES)
        recording = st.audio_input("Or record now")
        transcript = st.text_input(labels.RECORDING_TEXT)
        has_consent = st.checkbox(labels.CONSENT)
        is_sent = st.form_submit_button("Add voice", type="primary")
    if not is_sent:
        return
    source = upload or recording
    required = {"a name": name.strip(), "a recording": source, "the speaker's consent": has_consent}
    missing = [name for name, is_given in required.items() if not is_given]
    if missing or source is None:
        st.error(f"Missing: {', '.join(missing)}.", icon=":material/error:")
        return
    reference = ReferenceAudio(source.getvalue(), transcript)
    _do(lambda: client.add_voice(name.strip(), reference, has_consent), f"“{name.strip()}” was added.")


def _show_cards(client: BackendClient, voices: list[VoiceInfo]) -> None:
    for start in range(0, len(voices), N_COLUMNS):
        for column, voice in zip(st.columns(N_COLUMNS), voices[start : start + N_COLUMNS], strict=False):
            with column.container(border=True):
                _show_voice(client, voice)


def _show_voice(client: BackendClient, voice: VoiceInfo) -> None:
    st.markdown(f"**{escape_markdown(voice.name)}**")
    details = [voice.description, voice.license]
    details += [f"from {duration_text(voice.duration_s)} of speech"] if voice.duration_s else []
    if any(details):
        st.caption(" · ".join(detail for detail in details if detail))
    with st.container(horizontal=True):
        is_pressed = st.button(
            "Play", key=f"play-{voice.id}", icon=":material/volume_up:", help=f"A sample sentence of {voice.name}"
        )
        if not voice.is_builtin:
            _show_changes(client, voice)
    previews: dict[str, bytes] = st.session_state.setdefault(PREVIEWS, {})
    if is_pressed:
        try:
            with st.spinner(labels.SPEAKING):
                previews[voice.id] = client.preview_voice(voice.id)
        except BackendError as error:
            st.error(str(error), icon=":material/error:")
    if voice.id in previews:
        st.audio(previews[voice.id], autoplay=is_pressed)


def _show_changes(client: BackendClient, voice: VoiceInfo) -> None:
    if st.button(
        "Similarity", key=f"like-{voice.id}", help="Similarity of a new take to the recording; 1 is identical"
    ):
        try:
            with st.spinner(labels.SPEAKING):
                st.info(f"Similarity {client.voice_similarity(voice.id):.2f}")
        except BackendError as error:
            st.error(str(error), icon=":material/error:")
    with st.popover("Edit", icon=":material/edit:"):
        name = st.text_input("New name", voice.name, max_chars=64, key=f"name-{voice.id}").strip()
        if st.button("Rename", key=f"rename-{voice.id}", disabled=not name or name == voice.name):
            _do(lambda: client.rename_voice(voice.id, name), f"“{voice.name}” is now “{name}”.")
        is_sure = st.checkbox("Permanently delete the voice and its recording", key=f"sure-{voice.id}")
        if st.button("Delete", key=f"delete-{voice.id}", disabled=not is_sure, type="primary"):
            _do(lambda: client.delete_voice(voice.id), f"“{voice.name}” was deleted.")


def _do(change: Callable[[], object], message: str) -> None:
    """Apply a change and rerun the page, or show the error."""
    try:
        with st.spinner("Saving…"):
            change()
    except BackendError as error:
        st.error(str(error), icon=":material/error:")
        return
    st.session_state[MESSAGE] = escape_markdown(message)
    st.rerun()
