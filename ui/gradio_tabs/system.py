"""The System tab: live health, load, caches and optimizations of the backend."""

from __future__ import annotations

import gradio as gr

from ui.client import BackendClient
from ui.gradio_theme import placeholder


def build(client: BackendClient, page: gr.Blocks) -> list[gr.components.Component]:
    """Build the placeholder of the live metrics."""
    placeholder("system")
    return []
