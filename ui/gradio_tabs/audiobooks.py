"""The Audiobooks tab: long texts as background jobs, corrected sentence by sentence."""

from __future__ import annotations

import gradio as gr

from ui.client import BackendClient
from ui.gradio_theme import placeholder


def build(client: BackendClient, page: gr.Blocks) -> list[gr.components.Component]:
    """Build the placeholder of the jobs."""
    placeholder("audiobooks")
    return []
