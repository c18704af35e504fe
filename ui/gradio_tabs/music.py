"""The Music tab: a piece from a description, with its notes, stems and MIDI, beside earlier ones."""

from __future__ import annotations

import tempfile
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ui import labels
from ui.client import BackendClient, BackendError
from ui.gradio_theme import hint
from ui.music import FORMATS, METERS, description
from ui.piano_roll import piano_roll

MAX_EARLIER = 20


def build(client: BackendClient, page: gr.Blocks) -> list[gr.components.Component]:
    """Build the form and the results; earlier pieces are kept for the session."""

    def make(
        prompt: str, duration_s: float, seed: float, tempo: float, key: str, meter: str, format: str,
        earlier: list[tuple[str, str]],
    ) -> tuple[Any, ...]:  # fmt: skip
        try:
            asked = description(prompt, duration_s, seed, tempo, key, meter)
            piece = client.make_music(asked, format)
            parts = client.music_score(asked)
        except (ValueError, BackendError) as error:
            raise gr.Error(str(error), print_exception=False) from error
        path = _kept(piece.audio, f"music-{piece.seed}.{format}")
        text = f"**{piece.summary()}**"
        if piece.not_understood:
            text += f"\n\n{labels.MUSIC_NOT_UNDERSTOOD} {escape(piece.not_understood)}"
        earlier = [(f"{prompt[:50]}, seed {piece.seed}", path), *earlier][:MAX_EARLIER]
        choices = gr.Dropdown(choices=earlier[1:], value=None, visible=len(earlier) > 1)
        roll = piano_roll(parts, float(piece.labels.get("duration_s", duration_s)))
        return path, text, roll, earlier, choices, asked, gr.Button(visible=True), gr.File(visible=False)

    def another(seed: float) -> float:
        return int(seed or 0) + 1

    def compare(path: str | None) -> Any:
        return gr.Audio(value=path, visible=path is not None)

    def prepare(asked: dict[str, Any] | None) -> Any:
        if not asked:
            raise gr.Error(labels.MUSIC_EMPTY, print_exception=False)
        try:
            stems, midi = client.music_stems(asked), client.music_midi(asked)
        except BackendError as error:
            raise gr.Error(str(error), print_exception=False) from error
        return gr.File(value=[_kept(stems, "stems.zip"), _kept(midi, "music.mid")], visible=True)

    hint(labels.MUSIC_HINT)
    earlier, asked = gr.State([]), gr.State(None)
    with gr.Row(elem_classes="pg-columns"):
        with gr.Column(scale=4, min_width=280):
            prompt = gr.Textbox(
                label=labels.MUSIC_PROMPT, placeholder=labels.MUSIC_PROMPT_HINT, lines=2, max_length=1000,
                elem_id="pg-music-prompt",
            )  # fmt: skip
            gr.Examples([[text] for text in labels.MUSIC_EXAMPLES], prompt, label="Examples")
            with gr.Row():
                duration = gr.Number(
                    30, label=labels.MUSIC_DURATION, minimum=4, maximum=300, elem_id="pg-music-duration"
                )
                seed = gr.Number(0, label=labels.MUSIC_SEED, precision=0, minimum=0)
            with gr.Accordion(labels.ADVANCED, open=False):
                tempo = gr.Number(None, label=labels.MUSIC_TEMPO, minimum=60, maximum=180, precision=0)
                key = gr.Dropdown(
                    (labels.FROM_DESCRIPTION, *labels.MUSIC_KEYS), value=labels.FROM_DESCRIPTION, label=labels.MUSIC_KEY
                )
                meter = gr.Dropdown(
                    (labels.FROM_DESCRIPTION, *METERS), value=labels.FROM_DESCRIPTION, label=labels.MUSIC_METER
                )
                format = gr.Dropdown(FORMATS, value="wav", label="Format")
            with gr.Row():
                button = gr.Button(labels.MUSIC_MAKE, variant="primary", elem_id="pg-music-make")
                other = gr.Button(labels.MUSIC_ANOTHER, elem_id="pg-music-another")
        with gr.Column(scale=7, min_width=320):
            sound = gr.Audio(label=labels.MUSIC_SOUND, type="filepath", interactive=False, elem_id="pg-music-sound")
            facts = gr.Markdown()
            roll = gr.HTML()
            with gr.Row():
                files_button = gr.Button(labels.MUSIC_FILES, visible=False, elem_id="pg-music-files")
            files = gr.File(label="Stems (ZIP) and MIDI", visible=False, interactive=False)
            chosen = gr.Dropdown([], label=labels.MUSIC_COMPARED, visible=False, elem_id="pg-music-earlier")
            compared = gr.Audio(label=labels.MUSIC_EARLIER, type="filepath", interactive=False, visible=False)
    inputs = [prompt, duration, seed, tempo, key, meter, format, earlier]
    outputs = [sound, facts, roll, earlier, chosen, asked, files_button, files]
    button.click(make, inputs, outputs, api_name="music")
    prompt.submit(make, inputs, outputs, api_visibility="private")
    other.click(another, seed, seed, api_visibility="private").then(make, inputs, outputs, api_visibility="private")
    files_button.click(prepare, asked, files, api_visibility="private")
    chosen.change(compare, chosen, compared, api_visibility="private")
    return []


def _kept(content: bytes, name: str) -> str:
    """A file of that name for the page to offer."""
    path = Path(tempfile.mkdtemp()) / name
    path.write_bytes(content)
    return str(path)
