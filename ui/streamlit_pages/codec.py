"""The Codec page: sound to a code file and back, with the codes as a picture."""

from __future__ import annotations

from typing import Any, NamedTuple

import streamlit as st

from ui import labels
from ui.answers import CodeFileResult, CodeSurvey
from ui.client import BackendClient, BackendError
from ui.sounds import media_type
from ui.speaking import situation

SOUND_TYPES = ["wav", "flac", "ogg", "opus", "mp3"]
ENCODED, DECODED = "codec-encoded", "codec-decoded"
# Frames in the picture: more than a screen has columns tell nothing.
MAX_FRAMES = 300
FORMATS = ("wav", "flac", "mp3")


class Encoded(NamedTuple):
    """A sound and what became of it."""

    original: bytes
    file: CodeFileResult
    survey: CodeSurvey
    again: bytes


class Decoded(NamedTuple):
    """A code file as sound again."""

    sound: bytes
    format: str
    survey: CodeSurvey


def show(client: BackendClient) -> None:
    """Draw the page; results stay until others take their place."""
    st.title("Codec")
    st.caption("A code file (.pgc) holds speech as the numbers the language model speaks with: about 15 kB a minute.")
    encoding, decoding = st.tabs(["Sound to codes", "Codes to sound"])
    with encoding:
        _show_encoding(client)
    with decoding:
        _show_decoding(client)


def _show_encoding(client: BackendClient) -> None:
    with st.form("encode"):
        upload = st.file_uploader("Sound file", type=SOUND_TYPES)
        taken = st.audio_input("Or record it now")
        n_codebooks = st.number_input(
            "Codebooks",
            1,
            64,
            None,
            placeholder="all of them",
            help="Fewer make the file smaller and the sound coarser.",
        )
        is_sent = st.form_submit_button("Encode", type="primary", icon=":material/compress:")
    source = upload or taken
    if is_sent and source is None:
        st.error("Choose a sound file first.", icon=":material/error:")
    elif is_sent and source is not None:
        original = source.getvalue()
        try:
            with st.spinner("Encoding…"):
                file = client.encode(original, n_codebooks)
                survey = client.inspect(file.content, 0, MAX_FRAMES)
                st.session_state[ENCODED] = Encoded(original, file, survey, client.decode(file.content))
        except BackendError as error:
            st.error(str(error), icon=":material/error:")
    encoded: Encoded | None = st.session_state.get(ENCODED)
    if encoded is None:
        return
    with st.container(key="cards"):
        _card("Sound", f"{encoded.file.duration_s:.1f} s")
        _card("Code file", f"{len(encoded.file.content) / 1000:.1f} kB")
        _card("Codes", f"{encoded.file.kbps:.2f} kbps")
        _card("Smaller by", f"{len(encoded.original) / max(1, len(encoded.file.content)):.0f} times")
    st.download_button(
        "Download the code file", encoded.file.content, "speech.pgc", "application/octet-stream", on_click="ignore",
        icon=":material/download:",
    )  # fmt: skip
    before, after = st.columns(2)
    before.caption("As it came")
    before.audio(encoded.original)
    after.caption("From the codes")
    after.audio(encoded.again)
    _show_codes(encoded.survey)


def _show_decoding(client: BackendClient) -> None:
    settings = situation(client).settings
    formats = settings["format"].choices if "format" in settings else FORMATS
    with st.form("decode"):
        upload = st.file_uploader("Code file", type=["pgc"])
        format = st.selectbox(labels.CHOICES["format"], formats)
        is_sent = st.form_submit_button("Decode", type="primary", icon=":material/graphic_eq:")
    if is_sent and upload is None:
        st.error("Choose a code file first.", icon=":material/error:")
    elif is_sent and upload is not None:
        try:
            with st.spinner("Decoding…"):
                survey = client.inspect(upload.getvalue(), 0, MAX_FRAMES)
                st.session_state[DECODED] = Decoded(client.decode(upload.getvalue(), format), format, survey)
        except BackendError as error:
            st.error(str(error), icon=":material/error:")
    decoded: Decoded | None = st.session_state.get(DECODED)
    if decoded is None:
        return
    if decoded.format not in labels.UNPLAYABLE:
        st.audio(decoded.sound, format=media_type(decoded.format))
    st.download_button(
        labels.DOWNLOAD, decoded.sound, f"speech.{decoded.format}", media_type(decoded.format), on_click="ignore",
        icon=":material/download:",
    )  # fmt: skip
    _show_codes(decoded.survey)


def _card(label: str, value: str) -> None:
    st.metric(label, value, border=True)


def _show_codes(survey: CodeSurvey) -> None:
    """The codes as a picture: a row a codebook, a column a frame, the shade its code."""
    n_shown = len(survey.codes[0]) if survey.codes else 0
    st.header("Codes")
    st.caption(
        f"{survey.n_codebooks} codebooks of {survey.codec}, {survey.frame_rate_hz:g} frames a second; "
        f"the first {n_shown} of {survey.n_frames} frames. Each square is one code, its shade the number."
    )
    squares: list[dict[str, Any]] = [
        {"Codebook": row + 1, "Frame": survey.start_frame + column, "Code": code, "Share": code / size}
        for row, (codes, size) in enumerate(zip(survey.codes, survey.codebook_sizes, strict=False))
        for column, code in enumerate(codes)
    ]
    if not squares:
        st.caption("It holds none.")
        return
    spec = {
        "mark": {"type": "rect", "aria": False},
        "description": f"The codes of {n_shown} frames in {len(survey.codes)} codebooks, the shade of each its number.",
        "height": 28 * len(survey.codes) + 40,
        "encoding": {
            "x": {"field": "Frame", "type": "ordinal", "axis": {"labelOverlap": True, "ticks": False, "labelAngle": 0}},
            "y": {"field": "Codebook", "type": "ordinal"},
            "color": {"field": "Share", "type": "quantitative", "scale": {"scheme": "viridis"}, "legend": None},
            "tooltip": [{"field": name} for name in ("Codebook", "Frame", "Code")],
        },
    }
    st.vega_lite_chart(squares, spec)
