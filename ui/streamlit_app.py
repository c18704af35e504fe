"""The Streamlit page. `streamlit run ui/streamlit_app.py -- --backend URL` starts it."""

from __future__ import annotations

import argparse
import os

import streamlit as st

from ui.client import BackendClient
from ui.streamlit_pages import speak, system

PAGES = {"Speak": speak.show, "System": system.show}


def main() -> None:
    """Draw the page the visitor picked."""
    parser = argparse.ArgumentParser(prog="streamlit run ui/streamlit_app.py --")
    parser.add_argument("--backend", default="http://127.0.0.1:8000", help="address of the backend (%(default)s)")
    arguments = parser.parse_args()
    st.set_page_config(page_title="Phonogram")
    st.title("Phonogram")
    name = st.sidebar.radio("Page", list(PAGES))
    client = BackendClient(arguments.backend, os.environ.get("API_KEY", ""))
    try:
        PAGES[name](client)
    finally:
        client.close()


if __name__ == "__main__":
    main()
