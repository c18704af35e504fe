"""The Lossless tab: a audio file as a `.pgl` file, its size beside FLAC, and where the bits are."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import gradio as gr

from ui.client import BackendClient, BackendError
from ui.gradio_theme import hint


def build(client: BackendClient, page: gr.Blocks) -> list[gr.components.Component]:
    """Take a file and a level; a .pgl file is restored instead of compressed."""

    def run(path: str | None, level: float) -> tuple[str, Any, Any]:
        if path is None:
            raise gr.Error("Choose a WAV, AIFF or .pgl file first.", print_exception=False)
        source = Path(path)
        try:
            if source.suffix.lower() == ".pgl":
                sound = client.decompress_lossless(source.read_bytes())
                return f"Restored {len(sound)} bytes.", _kept(sound, source.stem), None
            content = client.compress_lossless(source.read_bytes(), int(level))
            survey = client.inspect_lossless(content)
        except BackendError as error:
            raise gr.Error(str(error), print_exception=False) from error
        rows = [
            f"| {name} | {size} | {100 * size / survey.source_bytes:.1f} % |" for name, size in survey.sizes().items()
        ]
        table = "\n".join(["| | Bytes | Of the audio file |", "|---|--:|--:|", *rows])
        return table, _kept(content, source.name + ".pgl"), _bits(survey.piece_s, survey.piece_bits)

    hint("A .pgl file is smaller than FLAC and restores the audio file byte for byte.")
    with gr.Row(elem_classes="pg-columns"):
        with gr.Column(scale=4, min_width=280):
            source = gr.File(label="WAV, AIFF or .pgl file", file_types=[".wav", ".aif", ".aiff", ".pgl"])
            level = gr.Slider(1, 9, 5, step=1, label="Level (1 is fastest, 9 smallest)")
            button = gr.Button("Compress or restore", variant="primary", elem_id="pg-lossless-run")
        with gr.Column(scale=7, min_width=320):
            sizes = gr.Markdown()
            result = gr.File(label="Result", interactive=False)
            bits = gr.LinePlot(x="Seconds", y="Bits a sample", label="Where the bits are", height=240)
    button.click(run, [source, level], [sizes, result, bits], api_name="lossless")
    return []


def _kept(content: bytes, name: str) -> str:
    """A file of that name for the page to offer."""
    path = Path(tempfile.mkdtemp()) / name
    path.write_bytes(content)
    return str(path)


def _bits(piece_s: float, piece_bits: list[float]) -> Any:
    import pandas

    seconds = [round(index * piece_s, 3) for index in range(len(piece_bits))]
    return pandas.DataFrame({"Seconds": seconds, "Bits a sample": piece_bits})
