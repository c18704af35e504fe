"""The Streamlit page. `streamlit run ui/streamlit_app.py -- --backend URL` starts it."""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path

import streamlit as st

from ui.client import BackendClient
from ui.streamlit_pages import batch, codec, jobs, lossless, music, overview, speak, system, voices

# URL path, title, icon, and the function that draws the page.
PAGES = (
    ("overview", "Overview", ":material/monitoring:", overview.show),
    ("speak", "Speak", ":material/record_voice_over:", speak.show),
    ("batch", "Batch", ":material/playlist_play:", batch.show),
    ("jobs", "Jobs", ":material/menu_book:", jobs.show),
    ("voices", "Voices", ":material/groups:", voices.show),
    ("music", "Music", ":material/music_note:", music.show),
    ("codec", "Codec", ":material/grid_on:", codec.show),
    ("lossless", "Lossless", ":material/compress:", lossless.show),
    ("system", "System", ":material/memory:", system.show),
)

# Five bars of a waveform, in a color with contrast on light and dark.
LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40" role="img" aria-label="Phonogram" fill="#12a099">'
    + "".join(
        f'<rect x="{4 + 7 * k}" y="{20 - height / 2}" width="4" height="{height}" rx="2"/>'
        for k, height in enumerate((10, 24, 34, 18, 8))
    )
    + "</svg>"
)


def main() -> None:
    """Draw the selected page."""
    parser = argparse.ArgumentParser(prog="streamlit run ui/streamlit_app.py --")
    parser.add_argument("--backend", default="http://127.0.0.1:8000", help="address of the backend (%(default)s)")
    arguments = parser.parse_args()
    st.set_page_config(page_title="Phonogram", page_icon=LOGO, layout="wide")
    st.logo(LOGO, size="large")
    st.html(Path(__file__).with_name("streamlit_style.css"))
    client = connect(arguments.backend, os.environ.get("API_KEY", ""))
    pages = [
        st.Page(partial(draw, client), title=title, icon=icon, url_path=path, default=path == "overview")
        for path, title, icon, draw in PAGES
    ]
    st.navigation(pages, position="top").run()


@st.cache_resource(show_spinner=False)
def connect(url: str, api_key: str) -> BackendClient:
    """Return the client shared by all sessions; its connections stay open for later downloads."""
    return BackendClient(url, api_key)


if __name__ == "__main__":
    main()
