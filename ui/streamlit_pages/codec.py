"""The Codec page: encodes audio to a code file and back, with a heat map of the codes."""

from __future__ import annotations

from typing import Any, NamedTuple

import streamlit as st

from ui import labels
from ui.client import BackendClient, BackendError
from ui.media_types import media_type
from ui.responses import CodeFileInfo, CodeFileResult
from ui.speech import backend_state

SOUND_TYPES = ["wav", "flac", "ogg", "opus", "mp3"]
ENCODED, DECODED = "codec-encoded", "codec-decoded"
# Frames in the heat map: more would not fit on a screen.
MAX_FRAMES = 300
FORMATS = ("wav", "flac", "mp3")


class Encoded(NamedTuple):
    """An audio file, its code file and the decoded audio."""

    original: bytes
    file: CodeFileResult
    info: CodeFileInfo
    decoded: bytes


class Decoded(NamedTuple):
    """The decoded audio of a code file."""

    audio: bytes
    format: str
    info: CodeFileInfo


def show(client: BackendClient) -> None:
    """Draw the page; results stay until they are replaced."""
    st.title("Codec")
    st.caption("A code file (.pgc) stores speech as the codes the language model generates: about 15 kB per minute.")
    encoding, decoding = st.tabs(["Encode", "Decode"])
    with encoding:
        _show_encoding(client)
    with decoding:
        _show_decoding(client)


def _show_encoding(client: BackendClient) -> None:
    with st.form("encode"):
        upload = st.file_uploader("Audio file", type=SOUND_TYPES)
        recording = st.audio_input("Or record now")
        n_codebooks = st.number_input(
            "Codebooks",
            1,
            64,
            None,
            placeholder="all",
            help="Fewer codebooks: smaller file, lower quality.",
        )
        is_sent = st.form_submit_button("Encode", type="primary", icon=":material/compress:")
    source = upload or recording
    if is_sent and source is None:
        st.error("Choose an audio file first.", icon=":material/error:")
    elif is_sent and source is not None:
        original = source.getvalue()
        try:
            with st.spinner("Encoding…"):
                file = client.encode(original, n_codebooks)
                info = client.inspect(file.content, 0, MAX_FRAMES)
                st.session_state[ENCODED] = Encoded(original, file, info, client.decode(file.content))
        except BackendError as error:
            st.error(str(error), icon=":material/error:")
    encoded: Encoded | None = st.session_state.get(ENCODED)
    if encoded is None:
        return
    with st.container(key="cards"):
        _card("Audio length", f"{encoded.file.duration_s:.1f} s")
        _card("Code file", f"{len(encoded.file.content) / 1000:.1f} kB")
        _card("Bitrate", f"{encoded.file.kbps:.2f} kbps")
        _card("Compression", f"{len(encoded.original) / max(1, len(encoded.file.content)):.0f}:1")
    st.download_button(
        "Download code file", encoded.file.content, "speech.pgc", "application/octet-stream", on_click="ignore",
        icon=":material/download:",
    )  # fmt: skip
    before, after = st.columns(2)
    before.caption("Original")
    before.audio(encoded.original)
    after.caption("Decoded")
    after.audio(encoded.decoded)
    _show_codes(encoded.info)


def _show_decoding(client: BackendClient) -> None:
    settings = backend_state(client).settings
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
                info = client.inspect(upload.getvalue(), 0, MAX_FRAMES)
                st.session_state[DECODED] = Decoded(client.decode(upload.getvalue(), format), format, info)
        except BackendError as error:
            st.error(str(error), icon=":material/error:")
    decoded: Decoded | None = st.session_state.get(DECODED)
    if decoded is None:
        return
    if decoded.format not in labels.UNPLAYABLE:
        st.audio(decoded.audio, format=media_type(decoded.format))
    st.download_button(
        labels.DOWNLOAD, decoded.audio, f"speech.{decoded.format}", media_type(decoded.format), on_click="ignore",
        icon=":material/download:",
    )  # fmt: skip
    _show_codes(decoded.info)


def _card(label: str, value: str) -> None:
    st.metric(label, value, border=True)


def _show_codes(info: CodeFileInfo) -> None:
    """Draw a heat map: one row per codebook, one column per frame, colored by code."""
    n_shown = len(info.codes[0]) if info.codes else 0
    st.header("Codes")
    st.caption(
        f"{info.n_codebooks} codebooks of {info.codec}, {info.frame_rate_hz:g} frames per second; "
        f"the first {n_shown} of {info.n_frames} frames. Each cell is one code; the color shows its value."
    )
    cells: list[dict[str, Any]] = [
        {"Codebook": row + 1, "Frame": info.start_frame + column, "Code": code, "Share": code / size}
        for row, (codes, size) in enumerate(zip(info.codes, info.codebook_sizes, strict=False))
        for column, code in enumerate(codes)
    ]
    if not cells:
        st.caption("The file has no codes.")
        return
    spec = {
        "mark": {"type": "rect", "aria": False},
        "description": f"The codes of {n_shown} frames in {len(info.codes)} codebooks, colored by value.",
        "height": 28 * len(info.codes) + 40,
        "encoding": {
            "x": {"field": "Frame", "type": "ordinal", "axis": {"labelOverlap": True, "ticks": False, "labelAngle": 0}},
            "y": {"field": "Codebook", "type": "ordinal"},
            "color": {"field": "Share", "type": "quantitative", "scale": {"scheme": "viridis"}, "legend": None},
            "tooltip": [{"field": name} for name in ("Codebook", "Frame", "Code")],
        },
    }
    st.vega_lite_chart(cells, spec)
