"""A minimal voice training run: a few synthetic utterances, a tiny model, logging at every step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from lightning.fabric import Fabric

from backend.data.token_shards import CodedUtterance, ShardDataset, ShardSpec, ShardWriter
from backend.text.phonemes.english import SOUNDS, SYMBOLS
from backend.text.tokenizers.phoneme import PhonemeTokenizer
from backend.training.loop.loop import Loop
from backend.training.presets import compose_preset
from backend.training.voice.batch import SequenceBuilder
from backend.training.voice.build import build_run
from backend.training.voice.config import VoiceConfig, read_voice_config

SPEC = ShardSpec("tiny", "0" * 64, 8000, 320, (32, 32, 32))


def utterance(number: int, n_symbols: int = 7, speaker: str | None = None, spec: ShardSpec = SPEC) -> CodedUtterance:
    """Returns phonemes of one to four frames each between two silences, with arbitrary codes."""
    random = np.random.default_rng(number)
    symbols = "".join(random.choice(list(SOUNDS), n_symbols))
    alignment = np.repeat(np.arange(n_symbols + 2), random.integers(1, 5, n_symbols + 2)).astype(np.int16)
    codes = np.stack([random.integers(0, size, len(alignment)) for size in spec.codebook_sizes]).astype(np.int16)
    return CodedUtterance(f"u{number}", f"text {number}", symbols, speaker or f"s{number % 3}", codes, alignment)


def tiny_dataset(folder: Path, n: int = 9, spec: ShardSpec = SPEC) -> ShardDataset:
    ShardWriter(folder, spec).write([utterance(i, spec=spec) for i in range(n)])
    return ShardDataset(folder)


def tiny_reader(n_ahead: int = 2, max_spent: int = 3, max_advance: int = 4) -> SequenceBuilder:
    return SequenceBuilder(PhonemeTokenizer(SYMBOLS, 32), n_ahead, max_spent, max_advance)


def tiny_recipe(out: Path, *changes: str) -> VoiceConfig:
    settings = [f"out={out}", "data.dir=shards", "log_every=1", "snapshot_minutes=1000", "export_minutes=1000",
                "audition_minutes=1000", "train.steps=6", "data.frames_per_batch=60", *changes]  # fmt: skip
    return read_voice_config(compose_preset("lm", "selftest", settings))


def tiny_run(recipe: VoiceConfig, dataset: ShardDataset, **arguments: Any) -> Loop:
    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.seed_everything(recipe.seed, verbose=False)
    return build_run(recipe, fabric, dataset, **arguments)
