"""Builds the training loop of a voice: shards, model, validation, export."""

from __future__ import annotations

from typing import Any

import torch
from lightning.fabric import Fabric

from backend.data.token_shards import ShardDataset
from backend.errors import BadSettings
from backend.metrics.asr import Recognizer
from backend.text.phonemes.english import SYMBOLS
from backend.text.tokenizers.phoneme import PhonemeTokenizer
from backend.training.loop.loop import Loop, Reporter
from backend.training.voice.batch import SequenceBuilder
from backend.training.voice.code_embeddings import add_geometry, plain
from backend.training.voice.config import VoiceConfig
from backend.training.voice.dataset import VoiceDataset
from backend.training.voice.export import export_voice
from backend.training.voice.model import VoiceModel, build_voice_model, load_voice_weights
from backend.training.voice.task import VoiceTask
from backend.training.voice.validation import ValidationSamples
from backend.weights import codes_hash, load_codec


def open_run(recipe: VoiceConfig, fabric: Fabric, reporter: Reporter | None = None) -> Loop:
    """Opens and checks a run: the shards must match the validation codec."""
    data = recipe.data
    if not data.dir:
        raise BadSettings("There are no shards: data.dir is empty. Set data.dir=FOLDER.")
    codec_hash = None if data.codec is None else codes_hash(data.codec)
    dataset = ShardDataset(data.dir, codec_hash)
    unseen = None if data.unseen_dir is None else ShardDataset(data.unseen_dir, dataset.spec.codes_sha256)
    return build_run(recipe, fabric, dataset, unseen, reporter)


def build_run(
    recipe: VoiceConfig, fabric: Fabric, dataset: ShardDataset, unseen: ShardDataset | None = None,
    reporter: Reporter | None = None,
) -> Loop:  # fmt: skip
    data, block = recipe.data, recipe.model
    sizes = dataset.spec.codebook_sizes
    tokenizer = PhonemeTokenizer(SYMBOLS, sizes[0], language=recipe.export.language)
    reader = SequenceBuilder(tokenizer, block.n_ahead, block.max_spent, block.max_advance)
    dataset = VoiceDataset(data, reader, dataset, unseen)
    model = build_voice_model(block, sizes, reader.tokenizer)
    if recipe.init is not None:
        load_voice_weights(model, recipe.init, has_speaker=not block.is_speaker_fresh)
    codec = None if data.codec is None else load_codec(data.codec)
    if block.follows_codec:
        if codec is None:
            raise BadSettings("model.follows_codec needs the codec. Set data.codec=FOLDER, or set it to false.")
        add_geometry(
            model, codec, is_fresh=recipe.init is None, is_speaker_fresh=block.is_speaker_fresh,
            speaker_follows_only=block.speaker_follows_only,
        )  # fmt: skip
    elif block.speaker_follows_only:
        raise BadSettings("model.speaker_follows_only needs model.follows_codec=true. Set both, or neither.")
    recognizer = None
    if data.asr_dir is not None and fabric.is_global_zero:
        recognizer = Recognizer(data.asr_dir)
    task = VoiceTask(recipe, model, fabric, dataset, ValidationSamples(recipe.audition, dataset, codec, recognizer))

    def export(trained: VoiceModel, facts: dict[str, Any]) -> None:
        with torch.inference_mode():
            export_voice(recipe.out / "voice", plain(trained), dataset, recipe.export, data.codec, facts)

    return Loop(recipe, fabric, task, reporter, export)
