"""Exports a trained voice as a checkpoint folder."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save
from torch import Tensor

from backend.atomic_file import write_atomically
from backend.training.voice.config import ExportBlock
from backend.training.voice.dataset import VoiceDataset
from backend.training.voice.model import VoiceModel
from backend.training.voice.validation import mean_voice
from backend.weights.fish_lm import published_shapes
from backend.weights.int8_storage import to_int8_rows
from backend.weights.speaker import SPEAKER_WEIGHTS

# Names of the teacher's speakers: language, gender, name.
SPEAKER_NAME = re.compile(r"([a-z])([fm])_(\w+)")
ACCENTS = {
    "a": "American", "b": "British", "e": "Spanish", "f": "French", "h": "Hindi", "i": "Italian", "j": "Japanese",
    "p": "Portuguese", "z": "Chinese",
}  # fmt: skip
GENDERS = {"f": "female", "m": "male"}


def export_voice(
    folder: Path, model: VoiceModel, dataset: VoiceDataset, block: ExportBlock, codec: Path | None,
    facts: Mapping[str, Any],
) -> None:  # fmt: skip
    """Writes language model, speaker encoder, symbols, named voices and, if given, the codec. Weights come before the
    config, so that a folder with a config is complete.
    """
    (folder / "voices").mkdir(parents=True, exist_ok=True)
    lm = published_shapes(model.lm)
    speaker = model.speaker.state_dict()
    for name, tensors in (("model.safetensors", lm), (SPEAKER_WEIGHTS, speaker)):
        write_atomically(folder / name, save(_stored(tensors, block)))
    dataset.reader.tokenizer.save(folder)
    for voice in named_voices(dataset, block):
        write_voice(folder / "voices", voice, model, dataset, block)
    if codec is not None and block.codec is None:
        for path in (*codec.glob("codec.safetensors"), *codec.glob("codec.json")):
            shutil.copyfile(path, folder / path.name)
    manifest = {
        **model.lm.config.to_dict(), "speaker": model.speaker.config.to_dict(), "license": block.license,
        "description": block.description, "storage": block.storage, **facts,
    }  # fmt: skip
    if block.codec is not None:
        manifest["codec"] = block.codec
    write_atomically(folder / "config.json", (json.dumps(manifest, indent=2) + "\n").encode())


def named_voices(dataset: VoiceDataset, block: ExportBlock) -> list[str]:
    """Returns the speakers to export as voices: those requested, or all that are not mixes."""
    speakers = sorted({dataset.dataset[i].speaker for i in dataset.learned})
    if block.voices is not None:
        return [speaker for speaker in block.voices if speaker in speakers]
    return [speaker for speaker in speakers if not set(speaker) & set(":+/\\.")]


def write_voice(
    folder: Path, speaker: str, model: VoiceModel, dataset: VoiceDataset, block: ExportBlock
) -> None:  # fmt: skip
    """Writes `NAME.safetensors` with the embedding (float32) and `NAME.json` with the metadata."""
    random = np.random.default_rng(0)
    # The longest utterances are the most informative.
    items = sorted(dataset.of_speaker(speaker), key=lambda item: (-item.n_frames, item.id))[: block.n_references]
    vector = mean_voice(model, [dataset.piece(item.codes, random) for item in items])
    match = SPEAKER_NAME.fullmatch(speaker)
    accent, gender, name = (
        (ACCENTS.get(match[1], ""), GENDERS[match[2]], match[3].capitalize()) if match else ("", "", speaker)
    )
    description = " ".join(word for word in (accent, gender, "voice") if word)
    facts = {
        "id": speaker, "name": name, "gender": gender, "accent": accent, "description": description,
        "license": block.license, "n_references": len(items),
    }  # fmt: skip
    write_atomically(folder / f"{speaker}.safetensors", save({"conditioning": vector.float().cpu().contiguous()}))
    write_atomically(folder / f"{speaker}.json", (json.dumps(facts, indent=1, ensure_ascii=False) + "\n").encode())


def _stored(tensors: Mapping[str, Tensor], block: ExportBlock) -> dict[str, Tensor]:
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    if block.storage == "int8":
        return to_int8_rows(whole)
    return {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in whole.items()}
