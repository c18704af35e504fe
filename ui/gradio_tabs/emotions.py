"""The Emotions tab: tags of the loaded checkpoint, and tags that work with every model."""

from __future__ import annotations

import gradio as gr

from ui.client import BackendClient
from ui.gradio_theme import placeholder


def build(client: BackendClient, page: gr.Blocks) -> list[gr.components.Component]:
    """Build the placeholder of the emotion guide."""
    placeholder("emotions")
    return []
