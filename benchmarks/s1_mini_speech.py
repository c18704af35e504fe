"""openaudio-s1-mini end to end at full size (random weights) on CPU: all stages of the engine."""

from __future__ import annotations

import base64
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from backend.lm.config import FAMILY_KEY
from backend.opt_engine import OptimizedEngine
from backend.optimize.planner.cache import FOLDER_VARIABLE
from backend.runtime.request import SpeechRequest
from backend.settings import Settings
from backend.weights.codec_checkpoint import save_codec
from backend.weights.tiny_checkpoint import CONTROLS
from benchmarks.fish_dac import random_fish_dac
from benchmarks.s1_mini import CONFIG, write_checkpoint

TEXT = "The harbor was quiet, and the boats lay still beneath a pale and windless morning sky."
N_FRAMES = 108  # 5 s
N_SPEECHES = 3
CASES = (("int8", "auto"), ("int8", "bf16"), ("int4", "bf16"))  # QUANTIZATION, MIXED_PRECISION


def run() -> list[dict[str, Any]]:
    """Returns the median of three syntheses of 5 s per configuration, with the engine's own stage times."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ[FOLDER_VARIABLE] = name  # do not use cached plans
        write_folder(folder / "openaudio-s1-mini")
        return [row for case in CASES for row in _rows(folder, *case)]


def write_folder(folder: Path) -> None:
    """Writes a loadable folder with published names and sizes and a byte vocabulary."""
    folder.mkdir()
    write_checkpoint(folder / "model.safetensors")
    values = CONFIG.to_dict()
    own = (FAMILY_KEY, "semantic_begin_id", "semantic_end_id", "end_id", "side_sizes", "conditioning_dim", "aux")
    published = {key: value for key, value in values.items() if key not in (*own, "has_own_fast_tables")}
    (folder / "config.json").write_text(json.dumps(published))
    ranks = [f"{base64.b64encode(bytes([byte])).decode()} {byte}" for byte in range(256)]
    (folder / "tokenizer.tiktoken").write_text("\n".join(ranks) + "\n")
    controls = {f"<|{name}|>": 151_643 + index for index, name in enumerate(CONTROLS["s1"])}
    codes = {f"<|semantic:{code}|>": CONFIG.semantic_begin_id + code for code in range(CONFIG.codebook_size)}
    (folder / "special_tokens.json").write_text(json.dumps({**controls, **codes}))
    codec = random_fish_dac()
    save_codec(folder, codec, {"name": "random"}, config=codec.config)


def _rows(folder: Path, quantization: str, precision: str) -> list[dict[str, Any]]:
    settings = Settings(
        model_dir=str(folder / "openaudio-s1-mini"), device="cpu", quantization=quantization,
        mixed_precision=precision, data_dir=str(folder / "data"),
    )  # fmt: skip
    engine = OptimizedEngine(settings)
    try:
        engine.load()
        found = []
        for seed in range(N_SPEECHES):
            request = SpeechRequest(text=TEXT, seed=seed, max_new_tokens=N_FRAMES, use_memory_cache=False)
            found.append(engine.speak(request).metrics)
        notes = [note for note in engine.status().notes if note.startswith("on")]
    finally:
        engine.close()
    middle = sorted(found, key=lambda one: one.rtf)[N_SPEECHES // 2]
    return [
        {
            "name": f"{quantization}, codec {precision}", "rtf": round(middle.rtf, 3), "audio_s": round(middle.audio_s, 2),
            "rtf_all": [round(one.rtf, 3) for one in found], "first_audio_s": round(middle.first_audio_s, 2),
            "frames": middle.frames, "frames_per_s": round(middle.frames_per_s, 1),
            "semantic_rtf": round(middle.semantic_s / middle.audio_s, 3),
            "synthesis_rtf": round(middle.synthesis_s / middle.audio_s, 3), "applied": notes,
        }
    ]  # fmt: skip
