"""The Voices tab: the voice library, and a form to add a voice."""

from __future__ import annotations

from html import escape
from pathlib import Path

import gradio as gr

from ui import labels
from ui.client import BackendClient, BackendError, ReferenceAudio
from ui.gradio_theme import hint, placeholder


def build(client: BackendClient, page: gr.Blocks) -> list[gr.components.Component]:
    """Build the form; the page's script draws the list."""
    with gr.Row(elem_classes="pg-columns"):
        with gr.Column(scale=7, min_width=320):
            placeholder("voices")
        with gr.Column(scale=4, min_width=280):
            gr.HTML(f'<h2 class="pg-title">{escape(labels.ADD_VOICE)}</h2>', apply_default_css=False, padding=False)
            hint(labels.ADD_VOICE_HINT)
            name = gr.Textbox(label=labels.VOICE_NAME, max_lines=1, elem_id="pg-voice-name")
            recording = gr.Audio(
                label=labels.VOICE_SOUND,
                type="filepath",
                sources=["upload", "microphone"],
                visible=False,
                elem_id="pg-voice-sound",
            )
            transcript = gr.Textbox(label=labels.RECORDING_TEXT, max_lines=4)
            consent = gr.Checkbox(False, label=labels.CONSENT, elem_id="pg-voice-consent")
            button = gr.Button(labels.ADD_VOICE, variant="primary")
            state = gr.HTML(elem_id="pg-voice-state", apply_default_css=False, padding=False)

    def add(name: str, recording: str | None, transcript: str, consent: bool) -> str:
        return escape(add_voice(name, recording, transcript, consent), quote=False)

    def add_voice(name: str, recording: str | None, transcript: str, consent: bool) -> str:
        if not name.strip():
            return labels.VOICE_NEEDS_NAME
        if recording is None:
            return labels.VOICE_NEEDS_SOUND
        if not consent:
            return labels.VOICE_NEEDS_CONSENT
        try:
            voice = client.add_voice(name.strip(), ReferenceAudio(Path(recording).read_bytes(), transcript), consent)
        except BackendError as error:
            return f"{labels.VOICE_REFUSED} {error}"
        return labels.VOICE_ADDED.format(name=voice.name)

    added = button.click(add, [name, recording, transcript, consent], state, api_name="add_voice")
    added.then(None, js="() => { window.phonogram.reloadVoices(); document.querySelector('#pg-refresh')?.click(); }")
    return [recording]
