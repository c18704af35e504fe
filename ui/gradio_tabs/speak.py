"""The Speak tab: a text, a voice, and the speech with its measures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from ui import labels
from ui.client import BackendClient, Recording
from ui.speaking import playable, situation, speak

POLL_S = 3.0
# Speeches of all visitors at a time; the backend says when it is too many.
MAX_AT_ONCE = 16


def build(client: BackendClient, page: gr.Blocks) -> None:
    """Lay out the tab. Voices, bounds and defaults come from the backend when the page opens and on request."""
    state = gr.Markdown()
    with gr.Row():
        with gr.Column(scale=3):
            text = gr.Textbox(label=labels.TEXT, placeholder=labels.TEXT_HINT, lines=5)
            with gr.Row():
                button = gr.Button(labels.SPEAK, variant="primary", scale=3)
                refresh = gr.Button(labels.REFRESH, min_width=80)
            with gr.Row():
                voice = gr.Dropdown([(labels.VOICE_DEFAULT, "")], value="", label=labels.VOICE, allow_custom_value=True)
                seed = gr.Textbox(label=labels.SEED, max_lines=1)
            recording = gr.Audio(label=labels.RECORDING, type="filepath")
            recording_text = gr.Textbox(label=labels.RECORDING_TEXT, max_lines=3)
            with gr.Accordion(labels.ADVANCED, open=False):
                gr.Markdown(labels.ADVANCED_HINT)
                fields = _advanced()
        with gr.Column(scale=2):
            answer = gr.Markdown()
            sound = gr.Audio(label=labels.SOUND, interactive=False, type="filepath", buttons=[])
            download = gr.DownloadButton(labels.DOWNLOAD, interactive=False)
            measures = gr.Dataframe(headers=["", "Value"], column_count=2, interactive=False, label=labels.MEASURES)
    # A page opened while the model loads becomes usable by itself.
    timer = gr.Timer(POLL_S, active=False)

    def read() -> list[Any]:
        now = situation(client)
        choices = [(labels.VOICE_DEFAULT, ""), *((one.name, one.id) for one in now.voices)]
        changes = [_described(name, now.settings) for name in fields]
        return [now.state, gr.update(choices=choices), gr.Timer(active=not now.can_speak), *changes]

    def poll(format: str | None) -> list[Any]:
        # Fields that were filled stay as they are: someone may be typing.
        found = read()
        return found if format is None else [*found[:3], *(gr.skip() for _ in fields)]

    def run(text: str, voice: str, recording: str | None, words: str, seed: str, *values: Any) -> list[Any]:
        clip = Recording(Path(recording).read_bytes(), words) if recording else None
        options = {"seed": seed.strip(), **dict(zip(fields, values, strict=True))}
        said = speak(client, text, voice, clip, options)
        path = None
        if said.audio is not None:
            # In the page's own cache, which it empties by itself.
            path = save_bytes_to_cache(said.audio, f"speech.{options['format'] or 'wav'}", sound.GRADIO_CACHE)
        return [said.state, path, gr.DownloadButton(value=path, interactive=path is not None), said.rows]

    shown = [state, voice, timer, *fields.values()]
    page.load(read, outputs=shown, api_visibility="private")
    refresh.click(read, outputs=shown, api_visibility="private")
    timer.tick(poll, fields["format"], shown, show_progress="hidden", api_visibility="private")
    button.click(
        run, [text, voice, recording, recording_text, seed, *fields.values()], [answer, sound, download, measures],
        concurrency_limit=MAX_AT_ONCE, api_name="speak",
    )  # fmt: skip


def _advanced() -> dict[str, gr.components.Component]:
    """A field for every setting, empty until the backend is asked."""
    fields: dict[str, gr.components.Component] = {}
    for names in _rows(list(labels.NUMBERS)):
        with gr.Row():
            fields |= {name: gr.Number(None, label=labels.NUMBERS[name], min_width=120) for name in names}
    with gr.Row():
        for name, label in labels.CHOICES.items():
            # The choices come later, and the page would refuse what is none of them yet.
            fields[name] = gr.Dropdown([], value=None, label=label, min_width=120, allow_custom_value=True)
    for name, label in labels.SWITCHES.items():
        fields[name] = gr.Checkbox(True, label=label)
    return fields


def _rows(names: list[str], n_columns: int = 3) -> list[list[str]]:
    return [names[start : start + n_columns] for start in range(0, len(names), n_columns)]


def _described(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """What the backend's document says about a field."""
    setting = settings.get(name)
    if setting is None:
        return gr.skip()
    change: dict[str, Any] = {"value": setting.default, "info": setting.description}
    if name in labels.CHOICES:
        change["choices"] = playable(setting.choices)
    if name in labels.NUMBERS:
        # Typing goes through values that are out of bounds; the backend refuses those that stay.
        change |= {"step": 1 if setting.kind == "integer" else 0.05}
        change["info"] = f"{setting.description} {setting.minimum:g} to {setting.maximum:g}."
    return gr.update(**change)
