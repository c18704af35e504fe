"""The Codec tab: encodes and decodes audio, with bitrate and plots."""

from __future__ import annotations

import gradio as gr

from ui import labels
from ui.client import BackendClient
from ui.gradio_theme import placeholder


def build(client: BackendClient, page: gr.Blocks) -> list[gr.components.Component]:
    """Build the upload; the page's script runs the codec and draws the results."""
    with gr.Row(elem_classes="pg-columns"):
        with gr.Column(scale=4, min_width=280):
            recording = gr.Audio(
                label=labels.CODEC_SOUND, type="filepath", sources=["upload", "microphone"], visible=False,
                elem_id="pg-codec-sound",
            )  # fmt: skip
            button = gr.Button(labels.CODEC_RUN, variant="primary", elem_id="pg-codec-run")
        with gr.Column(scale=7, min_width=320):
            placeholder("codec")
    button.click(None, recording, js="(recording) => { window.phonogram.transcode(recording); }")
    return [recording]
