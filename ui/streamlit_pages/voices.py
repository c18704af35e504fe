"""The Voices page: hear, add, rename and remove voices."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from ui import labels
from ui.answers import VoiceInfo
from ui.client import BackendClient, BackendError, ReferenceAudio
from ui.health_table import uptime_text
from ui.plain_text import plain_text

SOUND_TYPES = ["wav", "flac", "ogg", "opus", "mp3"]
TOLD, PREVIEWS, LIKENESS = "voices-told", "voices-previews", "voices-likeness"
N_COLUMNS = 3
GUIDE = (
    "Five to twenty seconds of clear speech by one person, without music or echo. "
    "Only add a voice whose owner agreed; the recording stays on this server until you delete the voice."
)


def show(client: BackendClient) -> None:
    """Draw the page; the list is asked for at every visit."""
    st.title("Voices")
    told: str | None = st.session_state.pop(TOLD, None)
    if told:
        st.success(told, icon=":material/check_circle:")
    try:
        voices = client.voices()
    except BackendError as error:
        st.error(str(error), icon=":material/error:")
        st.button(labels.REFRESH, icon=":material/refresh:")
        return
    added = [voice for voice in voices if not voice.is_builtin]
    _show_adding(client)
    st.header(f"Added voices ({len(added)})")
    if not added:
        st.caption("None yet.")
    _show_cards(client, added)
    built_in = [voice for voice in voices if voice.is_builtin]
    if built_in:
        st.header(f"Voices of the model ({len(built_in)})")
        _show_cards(client, built_in)


def _show_adding(client: BackendClient) -> None:
    with st.expander("Add a voice", icon=":material/person_add:"), st.form("add-voice", enter_to_submit=False):
        st.caption(GUIDE)
        name = st.text_input("Name", max_chars=64)
        upload = st.file_uploader("Sound file", type=SOUND_TYPES)
        taken = st.audio_input("Or record it now")
        words = st.text_input(labels.RECORDING_TEXT)
        has_consent = st.checkbox(labels.CONSENT)
        is_sent = st.form_submit_button("Add this voice", type="primary")
    if not is_sent:
        return
    source = upload or taken
    wanted = {"a name": name.strip(), "a recording": source, "the speaker's consent": has_consent}
    missing = [what for what, is_there in wanted.items() if not is_there]
    if missing or source is None:
        st.error(f"Still missing: {', '.join(missing)}.", icon=":material/error:")
        return
    clip = ReferenceAudio(source.getvalue(), words)
    _do(lambda: client.add_voice(name.strip(), clip, has_consent), f"“{name.strip()}” is added.")


def _show_cards(client: BackendClient, voices: list[VoiceInfo]) -> None:
    for start in range(0, len(voices), N_COLUMNS):
        for column, voice in zip(st.columns(N_COLUMNS), voices[start : start + N_COLUMNS], strict=False):
            with column.container(border=True):
                _show_voice(client, voice)


def _show_voice(client: BackendClient, voice: VoiceInfo) -> None:
    st.markdown(f"**{plain_text(voice.name)}**")
    facts = [voice.description, voice.license]
    facts += [f"from {uptime_text(voice.duration_s)} of speech"] if voice.duration_s else []
    if any(facts):
        st.caption(" · ".join(fact for fact in facts if fact))
    with st.container(horizontal=True):
        hear = st.button(
            "Hear", key=f"hear-{voice.id}", icon=":material/volume_up:", help=f"A sentence by {voice.name}"
        )
        if not voice.is_builtin:
            _show_changes(client, voice)
    previews: dict[str, bytes] = st.session_state.setdefault(PREVIEWS, {})
    if hear:
        try:
            with st.spinner(labels.SPEAKING):
                previews[voice.id] = client.preview_voice(voice.id)
        except BackendError as error:
            st.error(str(error), icon=":material/error:")
    if voice.id in previews:
        st.audio(previews[voice.id], autoplay=hear)


def _show_changes(client: BackendClient, voice: VoiceInfo) -> None:
    if st.button("Likeness", key=f"like-{voice.id}", help="How like its recording the voice speaks, 1 for the same"):
        try:
            with st.spinner(labels.SPEAKING):
                st.info(f"Likeness {client.voice_similarity(voice.id):.2f}")
        except BackendError as error:
            st.error(str(error), icon=":material/error:")
    with st.popover("Change", icon=":material/edit:"):
        name = st.text_input("New name", voice.name, max_chars=64, key=f"name-{voice.id}").strip()
        if st.button("Rename", key=f"rename-{voice.id}", disabled=not name or name == voice.name):
            _do(lambda: client.rename_voice(voice.id, name), f"“{voice.name}” is now “{name}”.")
        is_sure = st.checkbox("Delete it with its recording, for good", key=f"sure-{voice.id}")
        if st.button("Delete", key=f"delete-{voice.id}", disabled=not is_sure, type="primary"):
            _do(lambda: client.delete_voice(voice.id), f"“{voice.name}” is deleted.")


def _do(change: Callable[[], object], told: str) -> None:
    """Carry out a change and draw the page anew, or say why not."""
    try:
        with st.spinner("One moment…"):
            change()
    except BackendError as error:
        st.error(str(error), icon=":material/error:")
        return
    st.session_state[TOLD] = plain_text(told)
    st.rerun()
