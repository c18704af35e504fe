"""The System tab: what the backend runs on and how it does, live."""

from __future__ import annotations

import gradio as gr

from ui.client import BackendClient
from ui.gradio_theme import part


def build(client: BackendClient, page: gr.Blocks) -> list[gr.components.Component]:
    """Make room for what the page's script draws, and keeps drawing while somebody looks."""
    part("system")
    return []
