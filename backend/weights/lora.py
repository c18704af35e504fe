"""Merges LoRA weights into a model's weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from backend.errors import BadCheckpoint

A, B = ".lora_A", ".lora_B"
# The alpha of both published configurations (ranks 8 and 32).
DEFAULT_ALPHA = 16.0


def has_lora(tensors: Mapping[str, Tensor]) -> bool:
    return any(name.endswith((A, B)) for name in tensors)


def merge_lora(
    tensors: Mapping[str, Tensor], changes: Mapping[str, Tensor], alpha: float = DEFAULT_ALPHA
) -> dict[str, Tensor]:
    """Returns `tensors` with W + B A alpha / r in place of each W that `changes` names; r is read from A [r, in].

    Embedding tables [n, D] change by the transpose. Other tensors in `changes` replace those of the same name. Raises
    `BadCheckpoint` for LoRA parts without their counterpart or without a matching weight.
    """
    merged = dict(tensors)
    for name, value in changes.items():
        if not name.endswith((A, B)):
            merged[name] = value
    for name in [name for name in changes if name.endswith((A, B))]:
        stem = name[: -len(A)]
        target = f"{stem}.weight"
        a, b = changes.get(stem + A), changes.get(stem + B)
        if a is None or b is None or target not in tensors:
            raise BadCheckpoint(
                f"The LoRA part '{name}' has no counterpart, or the model has no '{target}'. "
                "Use the base model it was trained on."
            )
        if name.endswith(B):
            continue
        weight = merged[target]
        product = b.float() @ a.float()
        if product.shape != weight.shape and product.T.shape == weight.shape:
            product = product.T
        if product.shape != weight.shape:
            raise BadCheckpoint(
                f"The LoRA product of '{target}' has shape {list(product.shape)}; the weight is {list(weight.shape)}. "
                "Use the base model it was trained on."
            )
        merged[target] = torch.add(weight.float(), product, alpha=alpha / a.shape[0]).to(weight.dtype)
        merged.pop(name, None)
        merged.pop(stem + B, None)
    return merged
