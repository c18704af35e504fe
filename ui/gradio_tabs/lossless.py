"""The Lossless tab: a audio file as a `.pgl` file, its size beside FLAC, and where the bits are."""

from __future__ import annotations

import tempfile
from pathlib import Path

import gradio as gr

from ui.client import BackendClient, BackendError
from ui.gradio_theme import hint
from ui.responses import LosslessFileInfo


def build(client: BackendClient, page: gr.Blocks) -> list[gr.components.Component]:
    """Take a file and a level; a .pgl file is restored instead of compressed."""

    def run(path: str | None, level: float) -> tuple[str, str, str]:
        if path is None:
            raise gr.Error("Choose a WAV, AIFF or .pgl file first.", print_exception=False)
        source = Path(path)
        try:
            if source.suffix.lower() == ".pgl":
                sound = client.decompress_lossless(source.read_bytes())
                return f"Restored {len(sound)} bytes.", _kept(sound, source.stem), ""
            content = client.compress_lossless(source.read_bytes(), int(level))
            survey = client.inspect_lossless(content)
        except BackendError as error:
            raise gr.Error(str(error), print_exception=False) from error
        rows = [
            f"| {name} | {size} | {100 * size / survey.source_bytes:.1f} % |" for name, size in survey.sizes().items()
        ]
        table = "\n".join(["| | Bytes | Of the audio file |", "|---|--:|--:|", *rows])
        return table, _kept(content, source.name + ".pgl"), _picture(survey)

    hint("A .pgl file is smaller than FLAC and restores the audio file byte for byte.")
    with gr.Row(elem_classes="pg-columns"):
        with gr.Column(scale=4, min_width=280):
            source = gr.File(label="WAV, AIFF or .pgl file", file_types=[".wav", ".aif", ".aiff", ".pgl"])
            level = gr.Slider(1, 9, 5, step=1, label="Level (1 is fastest, 9 smallest)")
            button = gr.Button("Compress or restore", variant="primary", elem_id="pg-lossless-run")
        with gr.Column(scale=7, min_width=320):
            sizes = gr.Markdown()
            result = gr.File(label="Result", interactive=False)
            bits = gr.HTML()
    button.click(run, [source, level], [sizes, result, bits], api_name="lossless")
    return []


def _kept(content: bytes, name: str) -> str:
    """A file of that name for the page to offer."""
    path = Path(tempfile.mkdtemp()) / name
    path.write_bytes(content)
    return str(path)


def _picture(info: LosslessFileInfo) -> str:
    """Bits per sample over time as an SVG area chart."""
    if not info.piece_bits:
        return ""
    top = max(*info.piece_bits, 1.0)
    width = len(info.piece_bits)
    points = " ".join(
        f"{i},{100 - 100 * bits / top:.2f}" for i, bits in enumerate([*info.piece_bits, info.piece_bits[-1]])
    )
    text = f"Bits per sample over {info.duration_s:.1f} s; at most {top:.1f}, the audio file uses {info.bits}"
    return (
        f'<figure><svg viewBox="0 0 {width} 100" preserveAspectRatio="none" role="img" aria-label="{text}" '
        'style="width:100%;height:200px"><polygon fill="currentColor" opacity="0.6" '
        f'points="0,100 {points} {width},100"/></svg><figcaption>{text}.</figcaption></figure>'
    )
