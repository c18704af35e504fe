"""Language models of Fish checkpoints, in every published layout, into a `DualAR`, every tensor accounted for."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from backend.lm.config import DualARConfig
from backend.lm.dual_ar import DualAR
from backend.weights.codec import check_fit

WRAPPER = "model."
# Parts of the S2 files, first match wins.
S2_PARTS = (
    ("text_model.model.", ""),
    ("audio_decoder.codebook_embeddings.", "codebook_embeddings."),
    ("audio_decoder.", "fast_"),
)
# What a file holds side by side and the model in one matrix, in this order.
FUSED = {"attention.wqkv": ("attention.wq", "attention.wk", "attention.wv")}
OWN_FUSED = {"feed_forward.w13": ("feed_forward.w1", "feed_forward.w3")}
EMBEDDINGS = ("embeddings.weight", "codebook_embeddings.weight", "fast_embeddings.weight")


def published_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under the flat published names, from any layout: S2's parts, a `model.` prefix, separate wq, wk, wv.

    Encoders of sound (`audio_...` outside `audio_decoder`) are left out: they are not part of speaking.
    """
    is_s2 = any(name.startswith("text_model.model.") for name in tensors)
    is_wrapped = not is_s2 and next(iter(tensors), "").startswith(WRAPPER)
    named: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if is_s2:
            part, new = next(((p, n) for p, n in S2_PARTS if name.startswith(p)), ("", ""))
            name = new + name.removeprefix(part)
        elif is_wrapped:
            name = name.removeprefix(WRAPPER)
        if "audio_" not in name:
            named[name] = tensor
    return fuse(named, FUSED)


def fuse(tensors: Mapping[str, Tensor], parts: Mapping[str, tuple[str, ...]]) -> dict[str, Tensor]:
    """`tensors` with each complete group of `parts` stacked into the one it makes up."""
    fused = dict(tensors)
    for name in tensors:
        for whole, pieces in parts.items():
            match = re.fullmatch(rf"(.*){re.escape(pieces[0])}\.(weight|bias)", name)
            if match is None:
                continue
            names = [f"{match[1]}{piece}.{match[2]}" for piece in pieces]
            if all(piece in fused for piece in names):
                fused[f"{match[1]}{whole}.{match[2]}"] = torch.cat([fused.pop(piece) for piece in names])
    return fused


def dual_ar_from_tensors(
    config: DualARConfig, tensors: Mapping[str, Tensor], *, dtype: torch.dtype | None = torch.float32,
    is_serving: bool = True, name: str = "dual_ar",
) -> DualAR:  # fmt: skip
    """A `DualAR` in evaluation mode around published tensors of any layout.

    Weights are converted to `dtype` (None: as stored), one at a time; embedding tables stay as stored, since their
    rows are converted as they are read. `is_serving` keeps only the output rows that can be said. Raises
    `BadCheckpoint` naming every tensor that is missing, unexpected or of another shape.
    """
    published = published_names(tensors)
    with torch.device("meta"):
        model = DualAR(config, name)
    check_fit(published_shapes(model), published)
    own: dict[str, Tensor] = {}
    for key in list(published):
        tensor = published.pop(key)
        is_kept = dtype is None or key in EMBEDDINGS or not tensor.is_floating_point()
        if key == "output.weight" and is_serving:
            is_kept = True  # nearly all of it is about to be dropped
        own[key] = tensor if is_kept else tensor.to(dtype)
    model.load_state_dict(fuse(own, OWN_FUSED), strict=True, assign=True)
    model.eval().requires_grad_(False)
    if not is_serving:
        return model
    model.narrow_head()
    if dtype is not None:
        model.head.to(dtype)  # type: ignore[union-attr]
    return model


def published_shapes(model: DualAR) -> dict[str, Tensor]:
    """The parameters of `model` by the names and in the shapes of a published file."""
    shapes: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        if ".feed_forward.w13." in name:
            for piece, half in zip(("w1", "w3"), tensor.chunk(2), strict=True):
                shapes[name.replace("w13", piece)] = half
        else:
            shapes[name] = tensor
    return shapes
