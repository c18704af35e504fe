"""The Voices tab: the library, and a way into it."""

from __future__ import annotations

from html import escape
from pathlib import Path

import gradio as gr

from ui import labels
from ui.client import BackendClient, BackendError, ReferenceAudio
from ui.gradio_look import hint, part


def build(client: BackendClient, page: gr.Blocks) -> list[gr.components.Component]:
    """Lay out the tab; the list itself is drawn by the page's script."""
    with gr.Row(elem_classes="pg-columns"):
        with gr.Column(scale=7, min_width=320):
            part("voices")
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
            words = gr.Textbox(label=labels.RECORDING_TEXT, max_lines=4)
            consent = gr.Checkbox(False, label=labels.CONSENT, elem_id="pg-voice-consent")
            button = gr.Button(labels.ADD_VOICE, variant="primary")
            state = gr.HTML(elem_id="pg-voice-state", apply_default_css=False, padding=False)

    def add(name: str, recording: str | None, words: str, consent: bool) -> str:
        return escape(outcome(name, recording, words, consent), quote=False)

    def outcome(name: str, recording: str | None, words: str, consent: bool) -> str:
        if not name.strip():
            return labels.VOICE_NEEDS_NAME
        if recording is None:
            return labels.VOICE_NEEDS_SOUND
        if not consent:
            return labels.VOICE_NEEDS_CONSENT
        try:
            voice = client.add_voice(name.strip(), ReferenceAudio(Path(recording).read_bytes(), words), consent)
        except BackendError as error:
            return f"{labels.VOICE_REFUSED} {error}"
        return labels.VOICE_ADDED.format(name=voice.name)

    added = button.click(add, [name, recording, words, consent], state, api_name="add_voice")
    added.then(None, js="() => { window.phonogram.reloadVoices(); document.querySelector('#pg-refresh')?.click(); }")
    return [recording]
