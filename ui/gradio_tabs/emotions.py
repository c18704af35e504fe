"""The Emotions tab: which marks the loaded checkpoint knows, and which work everywhere."""

from __future__ import annotations

import gradio as gr

from ui.client import BackendClient
from ui.gradio_theme import part


def build(client: BackendClient, page: gr.Blocks) -> list[gr.components.Component]:
    """Make room for what the page's script draws from the backend's guide."""
    part("emotions")
    return []
