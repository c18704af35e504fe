"""The Gradio page. `python -m ui.gradio_app --backend URL` starts it."""

from __future__ import annotations

import argparse
import os

import gradio as gr

from ui.client import BackendClient
from ui.gradio_tabs import speak, system

TABS = {"Speak": speak.build, "System": system.build}

# How often the sounds kept for visitors are looked through, and how old they may become.
CACHE_S = (3600, 24 * 3600)

# Fonts of the system: the stock themes load theirs from the network.
THEME = gr.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])


def build_page(client: BackendClient) -> gr.Blocks:
    """Lay out every tab against the backend behind `client`; nothing is asked before a visitor comes."""
    with gr.Blocks(title="Phonogram", analytics_enabled=False, delete_cache=CACHE_S) as page:
        gr.Markdown("# Phonogram")
        for name, build in TABS.items():
            with gr.Tab(name):
                build(client, page)
    return page


def main() -> None:
    """Read the arguments and serve the page until stopped."""
    parser = argparse.ArgumentParser(prog="python -m ui.gradio_app", description="Serve the Gradio page.")
    parser.add_argument("--backend", default="http://127.0.0.1:8000", help="address of the backend (%(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=7860, help="port to listen on (%(default)s)")
    arguments = parser.parse_args()
    client = BackendClient(arguments.backend, os.environ.get("API_KEY", ""))
    build_page(client).launch(server_name=arguments.host, server_port=arguments.port, theme=THEME, quiet=True)


if __name__ == "__main__":
    main()
