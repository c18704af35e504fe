"""The Speak tab: text, voice, settings, and speech played while it is generated."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr

from ui import labels
from ui.client import BackendClient
from ui.gradio_theme import hint, placeholder, show_script
from ui.speech import backend_state

POLL_S = 3.0
# Set by the page: audio is streamed as PCM, and other formats are requested on download.
HIDDEN_FIELDS = ("format",)
PRESET_STORE = "phonogram-presets"


def build(client: BackendClient, page: gr.Blocks) -> list[gr.components.Component]:
    """Build the tab. Voices, bounds and defaults are loaded from the backend when the page opens."""
    placeholder("voice_cards")
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
            placeholder("text_tools")
            placeholder("tags")
            placeholder("chosen_voice")
            with gr.Row(elem_classes="pg-actions"):
                button = gr.Button(labels.SPEAK, variant="primary", scale=3, elem_id="pg-speak")
                stop = gr.Button(labels.STOP, scale=1, min_width=90, elem_id="pg-stop")
            placeholder("speech")
        with gr.Column(scale=4, min_width=280):
            with gr.Row(elem_classes="pg-voice-row"):
                voice = gr.Dropdown(
                    [(labels.VOICE_DEFAULT, "")], value="", label=labels.VOICE, allow_custom_value=True, scale=4,
                    min_width=160, elem_id="pg-voice",
                )  # fmt: skip
            speed = gr.Slider(0.25, 4.0, 1.0, step=0.05, label=labels.NUMBERS["speed"], elem_id="pg-speed")
            with gr.Accordion(labels.OWN_VOICE, open=False, elem_id="pg-own-voice") as own_voice:
                # Gradio's recorder is a third of the initial download, so it loads when the panel opens.
                recording = gr.Audio(
                    label=labels.VOICE_SOUND, type="filepath", sources=["upload", "microphone"], visible=False
                )
                transcript = gr.Textbox(label=labels.RECORDING_TEXT, max_lines=3, elem_id="pg-transcript")
                fit = gr.Checkbox(True, label=labels.FIT_REFERENCE, elem_id="pg-fit")
                consent = gr.Checkbox(False, label=labels.CONSENT, elem_id="pg-consent")
                placeholder("cloning")
            with gr.Accordion(labels.ADVANCED, open=False, elem_id="pg-advanced"):
                with gr.Row():
                    preset = gr.Dropdown([], value=None, label=labels.PRESET, min_width=120, scale=3)
                    seed = gr.Textbox(
                        label=labels.SEED_SHORT, placeholder=labels.SEED_HINT, max_lines=1, elem_id="pg-seed", min_width=120,
                        scale=3,
                    )  # fmt: skip
                hint(labels.ADVANCED_HINT)
                fields = _advanced() | {"speed": speed}
                with gr.Row():
                    preset_name = gr.Textbox(label=labels.PRESET_NAME, max_lines=1, min_width=120, scale=3)
                    save = gr.Button(labels.PRESET_SAVE, min_width=80, scale=1)
            use_markup = gr.Button(visible="hidden", elem_id="pg-use-markup")
            choose_voice = gr.Button(visible="hidden", elem_id="pg-choose-voice")
            restore = gr.Button(visible="hidden", elem_id="pg-restore")
            refresh = gr.Button(labels.REFRESH, size="sm", variant="secondary", elem_id="pg-refresh")
    placeholder("history")
    # Polls until the backend is ready, so that a page opened early becomes usable.
    timer = gr.Timer(POLL_S, active=False)
    own_presets = gr.BrowserState({}, storage_key=PRESET_STORE)

    def load() -> list[Any]:
        state = backend_state(client)
        choices = [(labels.VOICE_DEFAULT, ""), *((one.name, one.id) for one in state.voices)]
        changes = [_field_update(name, state.settings) for name in fields]
        return [gr.update(choices=choices), gr.Timer(active=not state.is_ready), *changes]

    def poll(markup: str | None) -> list[Any]:
        # Fields that have values stay unchanged: the user may be typing.
        updates = load()
        return updates if markup is None else [*updates[:2], *(gr.skip() for _ in fields)]

    def apply_preset(name: str | None, own: dict[str, Any]) -> list[Any]:
        values = {**labels.PRESETS, **own}.get(name or "", {})
        return [values.get(field) if field in labels.NUMBERS else values.get(field, gr.skip()) for field in fields]

    def save_preset(name: str, own: dict[str, Any], *values: Any) -> tuple[Any, Any]:
        name = name.strip()
        if not name or name in labels.PRESETS:
            raise gr.Error(labels.PRESET_NEEDS_NAME, print_exception=False)
        own = {**own, name: dict(zip(fields, values, strict=True))}
        return own, gr.update(choices=[*labels.PRESETS, *own], value=name)

    def preset_choices(own: dict[str, Any]) -> Any:
        return gr.update(choices=[*labels.PRESETS, *own])

    hidden: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    outputs = [voice, timer, *fields.values()]
    page.load(load, outputs=outputs, **hidden)
    page.load(preset_choices, own_presets, preset, **hidden)
    refresh.click(load, outputs=outputs, api_visibility="private")
    timer.tick(poll, fields["markup"], outputs, **hidden)
    preset.input(apply_preset, [preset, own_presets], list(fields.values()), **hidden)
    save.click(save_preset, [preset_name, own_presets, *fields.values()], [own_presets, preset], **hidden)
    # The browser plays the stream itself: through Gradio's events the audio would have audible gaps.
    inputs = {
        "text": text, "voice": voice, "recording": recording, "words": transcript, "fit": fit, "consent": consent, "seed": seed,
    }  # fmt: skip
    button.click(None, [*inputs.values(), *fields.values()], js=_speak_script(list(inputs), list(fields)))
    stop.click(None, js="() => { window.phonogram.stop(); }")
    use_markup.click(None, outputs=fields["markup"], js="() => 'markup'")
    own_voice.expand(None, outputs=recording, js=show_script(1))
    choose_voice.click(None, outputs=[voice, recording], js="() => [window.phonogram.chosenVoice, null]")
    restore.click(None, list(fields.values()), [text, voice, seed, *fields.values()], js=_restore_script(list(fields)))
    for source in (voice, recording):
        source.change(None, [voice, recording], js="(voice, clip) => { window.phonogram.showChosen(voice, clip); }")
    recording.change(None, recording, js="(clip) => { window.phonogram.showRecording(clip); }")
    return []


def _speak_script(inputs: list[str], fields: list[str]) -> str:
    """Return a JavaScript function that passes the named field values to `phonogram.speak`."""
    return (
        f"(...values) => {{ const inputs = {json.dumps(inputs)}, fields = {json.dumps(fields)};"
        " const request = Object.fromEntries(inputs.map((name, n) => [name, values[n]]));"
        " request.options = Object.fromEntries(fields.map((name, n) => [name, values[inputs.length + n]]));"
        " window.phonogram.speak(request); }"
    )


def _restore_script(fields: list[str]) -> str:
    """Return a JavaScript function with the text, voice, seed and settings of `phonogram.restored`.

    It is given the current settings, which stay where the entry has none.
    """
    return (
        f"(...current) => {{ const {{ text, voice, usedSeed, options }} = window.phonogram.restored, fields = {json.dumps(fields)};"
        ' return [text, voice ?? "", usedSeed ?? "", ...fields.map((name, n) => options?.[name] ?? current[n])]; }'
    )


def _advanced() -> dict[str, gr.components.Component]:
    """Return a component for every setting, empty until the backend has been queried."""
    fields: dict[str, gr.components.Component] = {}
    for names in _rows([name for name in labels.NUMBERS if name != "speed"]):
        with gr.Row():
            fields |= {name: gr.Number(None, label=labels.NUMBERS[name], min_width=120) for name in names}
    with gr.Row():
        for name, label in labels.CHOICES.items():
            if name not in HIDDEN_FIELDS:
                # The choices are loaded later; until then Gradio would reject the value.
                fields[name] = gr.Dropdown(
                    [], value=None, label=label, min_width=120, allow_custom_value=True, elem_id=f"pg-{name}"
                )
    for name, label in labels.SWITCHES.items():
        fields[name] = gr.Checkbox(True, label=label)
    return fields


def _rows(names: list[str], n_columns: int = 2) -> list[list[str]]:
    return [names[start : start + n_columns] for start in range(0, len(names), n_columns)]


def _field_update(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the update of a field from the OpenAPI document."""
    setting = settings.get(name)
    if setting is None:
        return gr.skip()
    change: dict[str, Any] = {"value": labels.PAGE_DEFAULTS.get(name, setting.default), "info": setting.description}
    if name in labels.CHOICES:
        change["choices"] = list(setting.choices)
    if name == "speed":
        # The slider shows its bounds.
        return gr.update(value=setting.default, info="")
    if name in labels.NUMBERS:
        # Typing passes through values out of range; the backend rejects the final ones.
        change |= {"step": 1 if setting.kind == "integer" else 0.05}
        change["info"] = f"{setting.description} {setting.minimum:g} to {setting.maximum:g}."
    return gr.update(**change)
