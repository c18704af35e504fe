"""The Review tab: long texts spoken in the background, corrected sentence by sentence."""

from __future__ import annotations

import gradio as gr

from ui.client import BackendClient
from ui.gradio_theme import part


def build(client: BackendClient, page: gr.Blocks) -> list[gr.components.Component]:
    """Make room for what the page's script draws from the backend's jobs."""
    part("review")
    return []
