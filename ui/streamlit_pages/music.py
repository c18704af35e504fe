"""The Music page: a piece from a description, with its notes, stems and MIDI, and the pieces made before."""

from __future__ import annotations

from typing import Any, NamedTuple

import streamlit as st

from ui import labels
from ui.client import BackendClient, BackendError
from ui.media_types import media_type
from ui.music import FORMATS, METERS, description
from ui.piano_roll import piano_roll
from ui.responses import MusicPart, MusicPiece

PIECES, FILES = "music-pieces", "music-files"
MAX_PIECES = 20


class MadePiece(NamedTuple):
    """A piece of this session and what it was made from."""

    asked: dict[str, Any]
    piece: MusicPiece
    parts: list[MusicPart]


def show(client: BackendClient) -> None:
    """Draw the page; pieces stay for the session, newest first."""
    st.title("Music")
    st.caption(labels.MUSIC_HINT)
    _show_form(client)
    pieces: list[MadePiece] = st.session_state.get(PIECES, [])
    if pieces:
        _show_piece(client, pieces[0])
    if len(pieces) > 1:
        st.header(labels.MUSIC_EARLIER)
        for made in pieces[1:]:
            with st.expander(f"{made.asked['prompt'][:60]}, seed {made.piece.seed}"):
                st.audio(made.piece.audio, format=media_type(made.piece.format))
                st.caption(made.piece.summary())


def _show_form(client: BackendClient) -> None:
    with st.form("music"):
        prompt = st.text_area(
            labels.MUSIC_PROMPT, placeholder=labels.MUSIC_PROMPT_HINT, max_chars=1000, height=80,
            help="Examples: " + "; ".join(labels.MUSIC_EXAMPLES),
        )  # fmt: skip
        first, second, third = st.columns(3)
        duration_s = first.number_input(labels.MUSIC_DURATION, 4, 300, 30)
        seed = second.number_input(labels.MUSIC_SEED, 0, None, 0)
        tempo = third.number_input(labels.MUSIC_TEMPO, 60, 180, None)
        key = first.selectbox(labels.MUSIC_KEY, (labels.FROM_DESCRIPTION, *labels.MUSIC_KEYS))
        meter = second.selectbox(labels.MUSIC_METER, (labels.FROM_DESCRIPTION, *METERS))
        format = third.selectbox("Format", FORMATS)
        is_sent = st.form_submit_button(labels.MUSIC_MAKE, type="primary", icon=":material/music_note:")
    if not is_sent:
        return
    try:
        asked = description(prompt, duration_s, seed, tempo, key, meter)
        with st.spinner("Making music…"):
            made = MadePiece(asked, client.make_music(asked, format), client.music_score(asked))
    except (ValueError, BackendError) as error:
        st.error(str(error), icon=":material/error:")
        return
    st.session_state[PIECES] = [made, *st.session_state.get(PIECES, [])][:MAX_PIECES]
    st.session_state.pop(FILES, None)


def _show_piece(client: BackendClient, made: MadePiece) -> None:
    piece = made.piece
    st.audio(piece.audio, format=media_type(piece.format))
    st.markdown(f"**{piece.summary()}**")
    if piece.not_understood:
        st.caption(f"{labels.MUSIC_NOT_UNDERSTOOD} {piece.not_understood}")
    st.html(piano_roll(made.parts, float(piece.labels.get("duration_s", 30))))
    sound, stems, midi = st.columns(3)
    sound.download_button(
        labels.DOWNLOAD, piece.audio, f"music.{piece.format}", media_type(piece.format), on_click="ignore",
        icon=":material/download:",
    )  # fmt: skip
    if FILES not in st.session_state:
        if stems.button(labels.MUSIC_FILES, icon=":material/queue_music:"):
            try:
                with st.spinner("Making stems…"):
                    st.session_state[FILES] = client.music_stems(made.asked), client.music_midi(made.asked)
            except BackendError as error:
                st.error(str(error), icon=":material/error:")
                return
            st.rerun()
        return
    zipped, score = st.session_state[FILES]
    stems.download_button("Download stems", zipped, "stems.zip", "application/zip", on_click="ignore")
    midi.download_button("Download MIDI", score, "music.mid", "audio/midi", on_click="ignore")
