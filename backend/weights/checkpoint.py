"""Loads a checkpoint folder: language model, codec and tokenizer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from backend.atomic_file import file_sha256
from backend.codec.base import CausalCodec
from backend.errors import BadCheckpoint
from backend.lm.config import DualARConfig
from backend.lm.dual_ar import DualAR
from backend.lm.registry import lm_class
from backend.lm.spec import ModelFamily
from backend.weights.codec_checkpoint import load_codec
from backend.weights.fish_lm import dual_ar_from_tensors
from backend.weights.int8_storage import from_int8_rows
from backend.weights.lora import DEFAULT_ALPHA, has_lora, merge_lora
from backend.weights.tensor_files import read_tensors

if TYPE_CHECKING:
    from backend.text.tokenizers.base import Tokenizer

CONFIG = "config.json"
MAX_CONFIG_BYTES = 1 << 20
INDEX = "model.safetensors.index.json"
MAX_INDEX_BYTES = 16 << 20
MODEL_FILES = ("model.safetensors", "model.pth")
HASHED = ("*.json", "*.safetensors", "*.pth", "*.tiktoken")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded checkpoint. `manifest` is the content of config.json; `ignored` are its unused keys."""

    lm: DualAR
    codec: CausalCodec
    tokenizer: Tokenizer
    family: ModelFamily
    manifest: Mapping[str, Any]
    name: str
    ignored: tuple[str, ...] = field(default=())


def load_checkpoint(
    folder: Path, device: torch.device | str = "cpu", *, dtype: torch.dtype = torch.float32,
    lora: Path | None = None, lora_alpha: float = DEFAULT_ALPHA,
) -> Checkpoint:  # fmt: skip
    """Loads a checkpoint folder, with the language model in its serving form and in `dtype`.

    Weights are memory-mapped; those of another dtype are converted one by one. `lora` is a file of low-rank updates to
    merge. Raises `BadCheckpoint` for anything missing, damaged or mismatched.
    """
    # Imported here: loading a language model needs no tokenizer libraries.
    from backend.text.tokenizers.base import load_tokenizer

    folder = Path(folder)
    manifest = read_config(folder)
    tokenizer = load_tokenizer(folder)
    lm = load_lm(folder, manifest, tokenizer, device, dtype=dtype, lora=lora, lora_alpha=lora_alpha)
    codec = load_codec(_codec_folder(folder, manifest), device)
    _check_codec(lm, codec)
    name = folder.resolve().name
    return Checkpoint(lm, codec, tokenizer, lm.spec.family, manifest, name, lm.config.unknown_keys)


def load_lm(
    folder: Path, manifest: Mapping[str, Any], tokenizer: Tokenizer | None = None, device: torch.device | str = "cpu", *,
    dtype: torch.dtype | None = torch.float32, is_serving: bool = True, lora: Path | None = None,
    lora_alpha: float = DEFAULT_ALPHA,
) -> DualAR:  # fmt: skip
    """Loads the language model of a folder. Without a tokenizer, the config must contain the semantic and end ids."""
    config = _config(manifest, tokenizer)
    cls = lm_class(manifest.get("model_type", "dual_ar"))
    assert cls is DualAR, cls
    tensors = from_int8_rows(read_model(folder))
    if has_lora(tensors):
        tensors = merge_lora(tensors, tensors, float(manifest.get("lora_alpha", DEFAULT_ALPHA)))
    if lora is not None:
        tensors = merge_lora(tensors, read_tensors(lora), lora_alpha)
    return dual_ar_from_tensors(
        config, tensors, dtype=dtype, is_serving=is_serving, name=folder.resolve().name
    ).to(device)  # fmt: skip


def read_config(folder: Path) -> dict[str, Any]:
    """Returns the content of `config.json`. Raises `BadCheckpoint`."""
    config = _read_json(folder / CONFIG, MAX_CONFIG_BYTES)
    lm_class(str(config.get("model_type", "dual_ar")))
    return config


def read_model(folder: Path) -> dict[str, Tensor]:
    """Reads the language model's tensors by their names in the file: sharded, `model.safetensors` or `model.pth`."""
    if (folder / INDEX).is_file():
        return _read_shards(folder)
    for name in MODEL_FILES:
        if (folder / name).is_file():
            return read_tensors(folder / name)
    raise BadCheckpoint(
        f"'{folder.name}' has none of {INDEX}, {', '.join(MODEL_FILES)}. Download the checkpoint again."
    )


def _read_shards(folder: Path) -> dict[str, Tensor]:
    index = _read_json(folder / INDEX, MAX_INDEX_BYTES).get("weight_map")
    # Bare names only: an index must not point outside its folder.
    if not isinstance(index, dict) or not all(isinstance(f, str) and Path(f).name == f for f in index.values()):
        raise BadCheckpoint(f"{INDEX} in '{folder.name}' does not map tensor names to files. Download it again.")
    tensors: dict[str, Tensor] = {}
    for shard in sorted(set(index.values())):
        stored = read_tensors(folder / shard)
        names = {name for name, file in index.items() if file == shard}
        if names - set(stored):
            missing = ", ".join(sorted(names - set(stored))[:5])
            raise BadCheckpoint(f"'{shard}' lacks {missing}, which {INDEX} lists. Download the checkpoint again.")
        tensors |= {name: stored[name] for name in names}
    return tensors


def checkpoint_hash(folder: Path) -> str:
    """Returns the SHA-256, in hexadecimal, of the names and bytes of the folder's configs, weights and tokenizer files."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in HASHED for path in Path(folder).glob(pattern) if path.is_file()}):
        digest.update(f"{path.name}\0{file_sha256(path)}\n".encode())
    return digest.hexdigest()


def _read_json(path: Path, limit: int) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(limit))
    except FileNotFoundError as error:
        raise BadCheckpoint(
            f"'{path.parent.name}' has no {path.name}; expected a checkpoint folder. Pass the folder that contains it."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise BadCheckpoint(f"{path.name} in '{path.parent.name}' is not readable JSON. Download it again.") from error
    if not isinstance(content, dict):
        raise BadCheckpoint(f"{path.name} in '{path.parent.name}' is not a JSON object. Download it again.")
    return content


def _config(manifest: Mapping[str, Any], tokenizer: Tokenizer | None) -> DualARConfig:
    if tokenizer is None:
        return DualARConfig.from_dict(manifest)
    ids = {name: getattr(tokenizer, name) for name in ("semantic_begin_id", "semantic_end_id", "end_id")}
    config = DualARConfig.from_dict(manifest, **ids)
    # S2 configs repeat the ids; older ones leave them to the tokenizer.
    stated = DualARConfig.from_dict(manifest) if "text_config" in manifest else config
    if (stated.semantic_begin_id, stated.semantic_end_id, stated.end_id) != tuple(ids.values()):
        raise BadCheckpoint(
            f"config.json has semantic ids {stated.semantic_begin_id} to {stated.semantic_end_id} and end id "
            f"{stated.end_id}; the tokenizer has {ids['semantic_begin_id']} to {ids['semantic_end_id']} and "
            f"{ids['end_id']}. Copy both from one checkpoint."
        )
    return config


def _codec_folder(folder: Path, manifest: Mapping[str, Any]) -> Path:
    named = manifest.get("codec")
    if named is None:
        return folder
    codec = (folder / str(named)).resolve()
    if folder.resolve().parent not in (codec.parent, codec.parent.parent):
        raise BadCheckpoint(f"config.json names the codec '{named}'; it must be in or beside the checkpoint folder.")
    return codec


def _check_codec(lm: DualAR, codec: CausalCodec) -> None:
    spec, sizes = lm.spec, codec.spec.codebook_sizes
    if len(sizes) < spec.n_codebooks:
        raise BadCheckpoint(
            f"The language model predicts {spec.n_codebooks} codebooks; codec '{codec.spec.name}' has {len(sizes)}. "
            "Use the codec the model was trained with."
        )
    if sizes[0] < spec.n_semantic or min(sizes[1 : spec.n_codebooks], default=spec.n_residual) > spec.codebook_size:
        raise BadCheckpoint(
            f"The codec's codebooks have {list(sizes)} entries; the language model has {spec.n_semantic} and "
            f"{spec.codebook_size}. Use the codec the model was trained with."
        )
