"""Loads Fish codec checkpoints (`codec.pth` of openaudio-s1-mini) into a `FishDAC`, with every tensor accounted for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backend.codec.fish_dac import FishDAC
from backend.errors import BadCheckpoint
from backend.nn.weight_norm import fold_weight_norm
from backend.weights.strict import check_fit
from backend.weights.tensor_files import read_tensors

FILES = ("codec.safetensors", "codec.pth")
PREFIX = "generator."
# Tables in older files, which this code computes.
COMPUTED = (".freqs_cis", ".causal_mask")

# Names here to published names; the first match wins.
_TRANSFORMER = {
    r"blocks\.(\d+)\.attention\.qkv": "layers.{0}.attention.wqkv",
    r"blocks\.(\d+)\.attention\.out": "layers.{0}.attention.wo",
    r"blocks\.(\d+)\.attention_scale": "layers.{0}.attention_layer_scale",
    r"blocks\.(\d+)\.attention_norm": "layers.{0}.attention_norm",
    r"blocks\.(\d+)\.mlp\.gate": "layers.{0}.feed_forward.w1",
    r"blocks\.(\d+)\.mlp\.up": "layers.{0}.feed_forward.w3",
    r"blocks\.(\d+)\.mlp\.down": "layers.{0}.feed_forward.w2",
    r"blocks\.(\d+)\.mlp_norm": "layers.{0}.ffn_norm",
    r"blocks\.(\d+)\.mlp_scale": "layers.{0}.ffn_layer_scale",
    r"norm": "norm",
}
_UNIT = {"snake_in": "0", "wide": "1.conv", "snake_out": "2", "narrow": "3.conv"}
_MIX = {"depthwise": "dwconv.conv", "norm": "norm", "expand": "pwconv1", "project": "pwconv2"}


def reference_name(name: str, n_encoder_blocks: int, n_decoder_blocks: int) -> str:
    """Returns the published file's name of the `FishDAC` parameter `name`."""
    part, _, rest = name.partition(".")
    if part == "encoder":
        return "encoder.block." + _conv_stack(rest, n_encoder_blocks, ("units", "snake", "down", "transformer"))
    if part == "decoder":
        return "decoder.model." + _conv_stack(rest, n_decoder_blocks, ("snake", "up", "units"))
    if part in ("pre_transformer", "post_transformer"):
        return f"quantizer.{part.removesuffix('_transformer')}_module.{_transformer(rest)}"
    if part == "quantizers":
        index, _, leaf = rest.partition(".")
        if index == "0":
            return f"quantizer.semantic_quantizer.quantizers.0.{leaf}"
        return f"quantizer.quantizer.quantizers.{int(index) - 1}.{leaf}"
    index, _, leaf = rest.partition(".")  # downsample, upsample
    inner, _, last = leaf.partition(".")
    if inner == "rate":
        return f"quantizer.{part}.{index}.0.conv.{last}"
    layer, dot, last = last.partition(".")
    return f"quantizer.{part}.{index}.1.{_MIX.get(layer, layer)}{dot}{last}"


def _conv_stack(name: str, n_blocks: int, order: tuple[str, ...]) -> str:
    part, _, rest = name.partition(".")
    if part != "blocks":
        return {"first": "0.conv", "snake": str(n_blocks + 1), "last": f"{n_blocks + 2}.conv"}[part] + f".{rest}"
    index, layer, rest = rest.split(".", 2)
    stem = f"{int(index) + 1}.block."
    # Three units follow each other, so layers after them are numbered two higher.
    position = order.index(layer) + (2 if order.index(layer) > order.index("units") else 0)
    if layer == "units":
        unit, inner, leaf = rest.split(".")
        return f"{stem}{position + int(unit)}.block.{_UNIT[inner]}.{leaf}"
    if layer == "transformer":
        return f"{stem}{position}.{_transformer(rest)}"
    return f"{stem}{position}.{rest}" if layer == "snake" else f"{stem}{position}.conv.{rest}"


def _transformer(name: str) -> str:
    for pattern, replacement in _TRANSFORMER.items():
        match = re.match(pattern + r"\.", name)
        if match:
            return replacement.format(*match.groups()) + name[match.end() - 1 :]
    raise AssertionError(name)


def fish_codec_from_tensors(tensors: Mapping[str, Tensor], **config: Any) -> FishDAC:
    """Builds a `FishDAC` with the arguments `config` from published tensors, in eval mode and float32.

    Accepts both weight-norm namings and a `generator.` prefix. Raises `BadCheckpoint` naming every tensor that is
    missing, unexpected or of another shape.
    """
    if any(name.startswith(PREFIX) for name in tensors):
        tensors = {name.removeprefix(PREFIX): value for name, value in tensors.items() if name.startswith(PREFIX)}
    kept = {name: value.float() for name, value in tensors.items() if not name.endswith(COMPUTED)}
    folded = fold_weight_norm(kept)
    with torch.device("meta"):
        codec = FishDAC(**config)
    depths = len(codec.encoder.blocks), len(codec.decoder.blocks)
    own = codec.state_dict()
    names = {name: reference_name(name, *depths) for name in own}
    check_fit({names[name]: weight for name, weight in own.items()}, folded)  # errors use the file's names
    codec.load_state_dict({name: folded[names[name]] for name in own}, strict=True, assign=True)
    return codec.eval().requires_grad_(False)


def load_fish_codec(folder: Path, device: torch.device | str = "cpu", **config: Any) -> FishDAC:
    """Loads the codec of a Fish checkpoint folder from `codec.safetensors` or `codec.pth`."""
    for name in FILES:
        if (Path(folder) / name).is_file():
            return fish_codec_from_tensors(read_tensors(Path(folder) / name), **config).to(device)
    raise BadCheckpoint(f"'{Path(folder).name}' has no {' or '.join(FILES)}. Download the checkpoint again.")
