"""The Lossless page: a audio file as a smaller file that gives every byte back, beside FLAC."""

from __future__ import annotations

from typing import Any, NamedTuple

import streamlit as st

from ui.client import BackendClient, BackendError
from ui.responses import LosslessFileInfo

COMPRESSED, RESTORED = "lossless-compressed", "lossless-restored"
LEVELS = range(1, 10)


class Compressed(NamedTuple):
    """A `.pgl` file, its name, and what it holds."""

    content: bytes
    name: str
    survey: LosslessFileInfo


def show(client: BackendClient) -> None:
    """Draw the page; results stay until others take their place."""
    st.title("Lossless")
    st.caption("A .pgl file is smaller than FLAC and restores the audio file byte for byte.")
    compressing, restoring = st.tabs(["Compress", "Restore"])
    with compressing:
        _show_compression(client)
    with restoring:
        _show_restoration(client)


def _show_compression(client: BackendClient) -> None:
    with st.form("compress"):
        upload = st.file_uploader("Audio file", type=["wav", "aif", "aiff"])
        level = st.select_slider("Level", LEVELS, 5, help="1 is fastest, 9 makes the smallest file.")
        is_sent = st.form_submit_button("Compress", type="primary", icon=":material/compress:")
    if is_sent and upload is None:
        st.error("Choose a audio file first.", icon=":material/error:")
    elif is_sent and upload is not None:
        try:
            with st.spinner("Compressing…"):
                content = client.compress_lossless(upload.getvalue(), int(level))
                survey = client.inspect_lossless(content)
                st.session_state[COMPRESSED] = Compressed(content, upload.name + ".pgl", survey)
        except BackendError as error:
            st.error(str(error), icon=":material/error:")
    compressed: Compressed | None = st.session_state.get(COMPRESSED)
    if compressed is None:
        return
    survey = compressed.survey
    with st.container(key="cards"):
        for label, size in survey.sizes().items():
            st.metric(label, f"{size / 1000:.1f} kB", f"{100 * size / survey.source_bytes:.1f} %", "off", border=True)
    st.download_button(
        "Download the .pgl file", compressed.content, compressed.name, "application/octet-stream", on_click="ignore",
        icon=":material/download:",
    )  # fmt: skip
    _show_bits(survey)


def _show_restoration(client: BackendClient) -> None:
    with st.form("restore"):
        upload = st.file_uploader("Lossless file", type=["pgl"])
        is_sent = st.form_submit_button("Restore", type="primary", icon=":material/restore:")
    if is_sent and upload is None:
        st.error("Choose a .pgl file first.", icon=":material/error:")
    elif is_sent and upload is not None:
        try:
            with st.spinner("Restoring…"):
                sound = client.decompress_lossless(upload.getvalue())
                st.session_state[RESTORED] = (sound, upload.name.removesuffix(".pgl"))
        except BackendError as error:
            st.error(str(error), icon=":material/error:")
    if RESTORED in st.session_state:
        sound, name = st.session_state[RESTORED]
        st.audio(sound)
        st.download_button("Download the audio file", sound, name, on_click="ignore", icon=":material/download:")


def _show_bits(survey: LosslessFileInfo) -> None:
    """Where the bits are: what a sample costs, over time."""
    st.header("Where the bits are")
    rows: list[dict[str, Any]] = [
        {"Seconds": round(index * survey.piece_s, 3), "Bits a sample": bits}
        for index, bits in enumerate(survey.piece_bits)
    ]
    if not rows:
        st.caption("The file holds no samples.")
        return
    spec = {
        "mark": {"type": "area", "aria": False},
        "description": f"Bits a sample costs over {survey.duration_s:.1f} seconds; the audio file spends {survey.bits}.",
        "height": 220,
        "encoding": {
            "x": {"field": "Seconds", "type": "quantitative"},
            "y": {"field": "Bits a sample", "type": "quantitative", "scale": {"zero": True}},
            "tooltip": [{"field": name} for name in ("Seconds", "Bits a sample")],
        },
    }
    st.vega_lite_chart(rows, spec)
