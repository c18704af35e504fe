"""The Speak tab: a text, a voice, and the speech, heard while it is made."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr

from ui import labels
from ui.client import BackendClient
from ui.gradio_theme import hint, part, shown_script
from ui.speech import situation

POLL_S = 3.0
# Chosen by the page: sound comes as samples, and other formats are asked for on download.
NOT_SHOWN = ("format",)
PRESET_STORE = "phonogram-presets"


def build(client: BackendClient, page: gr.Blocks) -> list[gr.components.Component]:
    """Lay out the tab. Voices, bounds and defaults come from the backend when the page opens and on request."""
    with gr.Row(elem_classes="pg-columns"):
        with gr.Column(scale=7, min_width=320):
            text = gr.Textbox(
                label=labels.TEXT,
                placeholder=labels.TEXT_HINT,
                lines=7,
                max_lines=24,
                elem_id="pg-text",
                autofocus=True,
            )
            part("tags")
            with gr.Row(elem_classes="pg-actions"):
                button = gr.Button(labels.SPEAK, variant="primary", scale=3, elem_id="pg-speak")
                stop = gr.Button(labels.STOP, scale=1, min_width=90, elem_id="pg-stop")
            part("speech")
        with gr.Column(scale=4, min_width=280):
            with gr.Row(elem_classes="pg-voice-row"):
                voice = gr.Dropdown(
                    [(labels.VOICE_DEFAULT, "")], value="", label=labels.VOICE, allow_custom_value=True, scale=4,
                    min_width=160, elem_id="pg-voice",
                )  # fmt: skip
                hear = gr.Button(labels.PREVIEW, scale=1, min_width=80, visible=False, elem_id="pg-preview")
            with gr.Accordion(labels.OWN_VOICE, open=False, elem_id="pg-own-voice") as own_voice:
                # Gradio's recorder is a third of what a first visit would load, so it comes when it is wanted.
                recording = gr.Audio(
                    label=labels.VOICE_SOUND, type="filepath", sources=["upload", "microphone"], visible=False
                )
                words = gr.Textbox(label=labels.RECORDING_TEXT, max_lines=3, elem_id="pg-words")
                fit = gr.Checkbox(True, label=labels.FIT_REFERENCE, elem_id="pg-fit")
                consent = gr.Checkbox(False, label=labels.CONSENT, elem_id="pg-consent")
            with gr.Accordion(labels.ADVANCED, open=False, elem_id="pg-advanced"):
                with gr.Row():
                    preset = gr.Dropdown([], value=None, label=labels.PRESET, min_width=120, scale=3)
                    seed = gr.Textbox(
                        label=labels.SEED_SHORT, placeholder=labels.SEED_HINT, max_lines=1, elem_id="pg-seed", min_width=120,
                        scale=3,
                    )  # fmt: skip
                hint(labels.ADVANCED_HINT)
                fields = _advanced()
                with gr.Row():
                    preset_name = gr.Textbox(label=labels.PRESET_NAME, max_lines=1, min_width=120, scale=3)
                    save = gr.Button(labels.PRESET_SAVE, min_width=80, scale=1)
            use_markup = gr.Button(visible="hidden", elem_id="pg-use-markup")
            refresh = gr.Button(labels.REFRESH, size="sm", variant="secondary", elem_id="pg-refresh")
    part("history")
    # A page opened while the model loads becomes usable by itself.
    timer = gr.Timer(POLL_S, active=False)
    own_presets = gr.BrowserState({}, storage_key=PRESET_STORE)

    def read() -> list[Any]:
        now = situation(client)
        choices = [(labels.VOICE_DEFAULT, ""), *((one.name, one.id) for one in now.voices)]
        changes = [_described(name, now.settings) for name in fields]
        can_preview = gr.Button(visible=now.can_preview)
        return [gr.update(choices=choices), can_preview, gr.Timer(active=not now.can_speak), *changes]

    def poll(markup: str | None) -> list[Any]:
        # Fields that were filled stay as they are: someone may be typing.
        found = read()
        return found if markup is None else [*found[:3], *(gr.skip() for _ in fields)]

    def apply(name: str | None, own: dict[str, Any]) -> list[Any]:
        values = {**labels.PRESETS, **own}.get(name or "", {})
        return [values.get(field) if field in labels.NUMBERS else values.get(field, gr.skip()) for field in fields]

    def keep(name: str, own: dict[str, Any], *values: Any) -> tuple[Any, Any]:
        name = name.strip()
        if not name or name in labels.PRESETS:
            raise gr.Error(labels.PRESET_NEEDS_NAME, print_exception=False)
        own = {**own, name: dict(zip(fields, values, strict=True))}
        return own, gr.update(choices=[*labels.PRESETS, *own], value=name)

    def presets(own: dict[str, Any]) -> Any:
        return gr.update(choices=[*labels.PRESETS, *own])

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    shown = [voice, hear, timer, *fields.values()]
    page.load(read, outputs=shown, **quiet)
    page.load(presets, own_presets, preset, **quiet)
    refresh.click(read, outputs=shown, api_visibility="private")
    timer.tick(poll, fields["markup"], shown, **quiet)
    preset.input(apply, [preset, own_presets], list(fields.values()), **quiet)
    save.click(keep, [preset_name, own_presets, *fields.values()], [own_presets, preset], **quiet)
    # Speaking is done by the browser: a sound that came through here would come in pieces with clicks between them.
    asked = {
        "text": text, "voice": voice, "recording": recording, "words": words, "fit": fit, "consent": consent, "seed": seed,
    }  # fmt: skip
    button.click(None, [*asked.values(), *fields.values()], js=_speak_script(list(asked), list(fields)))
    stop.click(None, js="() => { window.phonogram.stop(); }")
    use_markup.click(None, outputs=fields["markup"], js="() => 'markup'")
    own_voice.expand(None, outputs=recording, js=shown_script(1))
    hear.click(None, voice, js="(voice) => { window.phonogram.previewChosen(voice); }")
    return []


def _speak_script(asked: list[str], fields: list[str]) -> str:
    """A function of the page that names the values of the fields and speaks with them."""
    return (
        f"(...values) => {{ const asked = {json.dumps(asked)}, fields = {json.dumps(fields)};"
        " const said = Object.fromEntries(asked.map((name, n) => [name, values[n]]));"
        " said.options = Object.fromEntries(fields.map((name, n) => [name, values[asked.length + n]]));"
        " window.phonogram.speak(said); }"
    )


def _advanced() -> dict[str, gr.components.Component]:
    """A field for every setting, empty until the backend is asked."""
    fields: dict[str, gr.components.Component] = {}
    for names in _rows(list(labels.NUMBERS)):
        with gr.Row():
            fields |= {name: gr.Number(None, label=labels.NUMBERS[name], min_width=120) for name in names}
    with gr.Row():
        for name, label in labels.CHOICES.items():
            if name not in NOT_SHOWN:
                # The choices come later, and the page would refuse what is none of them yet.
                fields[name] = gr.Dropdown(
                    [], value=None, label=label, min_width=120, allow_custom_value=True, elem_id=f"pg-{name}"
                )
    for name, label in labels.SWITCHES.items():
        fields[name] = gr.Checkbox(True, label=label)
    return fields


def _rows(names: list[str], n_columns: int = 2) -> list[list[str]]:
    return [names[start : start + n_columns] for start in range(0, len(names), n_columns)]


def _described(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """What the backend's document says about a field."""
    setting = settings.get(name)
    if setting is None:
        return gr.skip()
    change: dict[str, Any] = {"value": setting.default, "info": setting.description}
    if name in labels.CHOICES:
        change["choices"] = list(setting.choices)
    if name in labels.NUMBERS:
        # Typing goes through values that are out of bounds; the backend refuses those that stay.
        change |= {"step": 1 if setting.kind == "integer" else 0.05}
        change["info"] = f"{setting.description} {setting.minimum:g} to {setting.maximum:g}."
    return gr.update(**change)
