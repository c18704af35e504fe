"""Loads Fish language models of every published layout into a `DualAR`, with every tensor accounted for."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from backend.lm.config import DualARConfig
from backend.lm.dual_ar import DualAR
from backend.weights.strict import check_fit

WRAPPER = "model."
# Prefixes in S2 files; the first match wins.
S2_PARTS = (
    ("text_model.model.", ""),
    ("audio_decoder.codebook_embeddings.", "codebook_embeddings."),
    ("audio_decoder.", "fast_"),
)
# Matrices that files store separately and the model fuses.
SEPARATE = re.compile(r"(.*\.attention\.)wq(\.weight|\.bias)")
HALVES = re.compile(r"(.*\.feed_forward\.)w[13](\.weight)")
EMBEDDINGS = ("embeddings.weight", "codebook_embeddings.weight", "fast_embeddings.weight")


def published_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Maps tensors of any layout to the flat published names: S2 prefixes, a `model.` prefix, separate wq, wk, wv.

    Audio encoders (`audio_...` outside `audio_decoder`) are dropped: speech generation does not use them.
    """
    is_s2 = any(name.startswith("text_model.model.") for name in tensors)
    is_wrapped = not is_s2 and any(name.startswith(WRAPPER) for name in tensors)
    named: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if is_s2:
            prefix, new = next(((p, n) for p, n in S2_PARTS if name.startswith(p)), ("", ""))
            name = new + name.removeprefix(prefix)
        elif is_wrapped:
            name = name.removeprefix(WRAPPER)
        if "audio_" not in name:
            named[name] = tensor
    for name in list(named):
        match = SEPARATE.fullmatch(name)
        if match is not None:
            parts = [f"{match[1]}{part}{match[2]}" for part in ("wq", "wk", "wv")]
            if all(part in named for part in parts):
                named[f"{match[1]}wqkv{match[2]}"] = torch.cat([named.pop(part) for part in parts])
    return named


def dual_ar_from_tensors(
    config: DualARConfig, tensors: Mapping[str, Tensor], *, dtype: torch.dtype | None = torch.float32,
    is_serving: bool = True, name: str = "dual_ar",
) -> DualAR:  # fmt: skip
    """Builds a `DualAR` in eval mode from published tensors of any layout.

    Weights are converted to `dtype` (None: as stored) one at a time; embedding tables stay as stored, since their rows
    are converted when read. `is_serving` keeps only the output rows of legal ids. Raises `BadCheckpoint` naming every
    tensor that is missing, unexpected or of another shape.
    """
    published = published_names(tensors)
    with torch.device("meta"):
        model = DualAR(config, name)
    check_fit(published_shapes(model), published)
    own: dict[str, Tensor] = {}
    while published:
        # One at a time, fusing on the way, so that memory holds only the mapped file and one copy.
        key, tensor = published.popitem()
        is_table = key in EMBEDDINGS or (key == "output.weight" and is_serving)  # most of it is dropped
        target_dtype = tensor.dtype if dtype is None or is_table or not tensor.is_floating_point() else dtype
        whole, pieces = _whole_of(key)
        if pieces:
            parts = [tensor if piece == key else published.pop(piece) for piece in pieces]
            # Converted in place: temporaries of this size between the kept weights fragment the heap by a fifth.
            own[whole] = torch.empty(sum(map(len, parts)), tensor.shape[1], dtype=target_dtype)
            for half, part in zip(own[whole].split([len(part) for part in parts]), parts, strict=True):
                half.copy_(part)
        else:
            own[key] = tensor.to(target_dtype)
    model.load_state_dict(own, strict=True, assign=True)
    model.eval().requires_grad_(False)
    if not is_serving:
        return model
    model.narrow_head()
    if dtype is not None:
        model.head.to(dtype)  # type: ignore[union-attr]
    return model


def _whole_of(name: str) -> tuple[str, list[str]]:
    """Returns the fused matrix that `name` is half of, and both halves in order; no halves if it is not fused."""
    match = HALVES.fullmatch(name)
    if match is None:
        return name, []
    return f"{match[1]}w13{match[2]}", [f"{match[1]}{half}{match[2]}" for half in ("w1", "w3")]


def published_shapes(model: DualAR) -> dict[str, Tensor]:
    """Returns the parameters of `model` under the names and in the shapes of a published file."""
    shapes: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        if ".feed_forward.w13." in name:
            for piece, half in zip(("w1", "w3"), tensor.chunk(2), strict=True):
                shapes[name.replace("w13", piece)] = half
        else:
            shapes[name] = tensor
    return shapes
