"""Code embeddings initialized from the codec's vectors, so that similar codes start with similar embeddings.

A table of 1,024 codes has a row for each, and in a few hours of speech most rows are seen a few hundred times. Here a
row is a learned projection of the code's vector plus its own residual that starts at zero, so learning generalizes to
neighboring codes. A code is the nearest one to a point, so with isotropic uncertainty its log probability is linear in
the vector and its squared length; both are features of the output rows.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from backend.codec.base import CausalCodec
from backend.errors import BadSettings
from backend.lm.dual_ar import DualAR
from backend.lm.speaker_encoder import SpeakerEncoder
from backend.training.voice.model import NAME, VoiceModel

GAIN, PROJECTION_STD = 0.1, 0.05


class FromVectors(nn.Module):
    """Parametrization: adds projected `vectors` [K, n, F] to the K * n rows of a weight from `first_row` on."""

    vectors: Tensor

    def __init__(
        self, vectors: Tensor, dim: int, first_row: int = 0, is_fresh: bool = True, has_own_rows: bool = True
    ):  # fmt: skip
        super().__init__()
        self.first_row, self.own_share = first_row, float(has_own_rows)
        self.register_buffer("vectors", vectors.clone(), persistent=False)
        # Equal projections initially: the sum over codebooks is then the codec's projected latent.
        projection = torch.randn(1, vectors.shape[2], dim) * PROJECTION_STD * is_fresh
        self.projection = nn.Parameter(projection.repeat(vectors.shape[0], 1, 1))

    def forward(self, weight: Tensor) -> Tensor:
        rows = GAIN * (self.vectors @ self.projection).flatten(0, 1)
        if len(rows) == len(weight):
            return self.own_share * weight + rows
        before, after = self.first_row, len(weight) - self.first_row - len(rows)
        return weight + torch.nn.functional.pad(rows, (0, 0, before, after))


def add_geometry(
    model: VoiceModel, codec: CausalCodec, is_fresh: bool = True, *, is_speaker_fresh: bool = False,
    speaker_follows_only: bool = False,
) -> None:  # fmt: skip
    """Parametrizes every code table in `model` with the codec's vectors. Not `is_fresh`: outputs stay unchanged.

    With `speaker_follows_only`, the speaker encoder's table is the projected vectors alone, so its embedding is a
    smooth function of the audio rather than a lookup of training voices. Raises `BadSettings` for a codec whose codes
    have no vectors of one width.
    """
    vectors = code_vectors(codec)
    lm, speaker = model.lm, model.speaker
    heard = vectors / vectors[0].std()
    length = vectors.square().sum(dim=2, keepdim=True)
    told = torch.cat((vectors, length), dim=2)
    told = (told - told.mean(dim=1, keepdim=True)) / told.std(dim=1, keepdim=True)
    spec = lm.spec
    follow(lm.codebook_embeddings, heard, is_fresh=is_fresh)
    follow(speaker.embeddings, heard, is_fresh=is_fresh or is_speaker_fresh, has_own_rows=not speaker_follows_only)
    vocabulary = lm.embeddings if lm.output is None else lm.output
    follow(vocabulary, told[:1], spec.semantic_begin_id, is_fresh=is_fresh)
    if lm.config.has_own_fast_tables:
        follow(lm.fast_embeddings, heard[:-1], is_fresh=is_fresh)
        for k, output in enumerate(lm.fast_output, start=1):
            follow(output, told[k : k + 1], is_fresh=is_fresh)


def follow(
    layer: nn.Module, vectors: Tensor, first_row: int = 0, *, is_fresh: bool = True, has_own_rows: bool = True
) -> None:  # fmt: skip
    """Parametrizes the rows of `layer.weight` from `first_row` on with `vectors` [K, n, F]."""
    weight: Tensor = layer.weight
    n_rows = vectors.shape[0] * vectors.shape[1]
    if is_fresh:
        with torch.no_grad():
            weight[first_row : first_row + n_rows] = 0
    parametrize.register_parametrization(
        layer, "weight", FromVectors(vectors.to(weight), weight.shape[1], first_row, is_fresh, has_own_rows)
    )


@torch.no_grad()
def code_vectors(codec: CausalCodec) -> Tensor:
    """Returns each code's contribution to the latent: [K, n, D]."""
    quantizer = getattr(codec, "quantizer", None)
    sizes = set(codec.spec.codebook_sizes)
    if quantizer is None or len(sizes) > 1:
        raise BadSettings(
            f"The codes of '{codec.spec.name}' have no vectors of equal size. Set model.follows_codec=false."
        )
    every = torch.arange(sizes.pop())[None]
    return torch.stack([stage.decode(every)[0].T.float() for stage in quantizer.stages])


@torch.no_grad()
def plain(model: VoiceModel) -> VoiceModel:
    """Returns an eval copy with ordinary weights and equal outputs, for export."""
    # Built from scratch: copies of a parametrized layer share its class, so removing one parametrization would affect
    # the other.
    with torch.random.fork_rng(devices=[]):
        copy = VoiceModel(DualAR(model.lm.config, NAME), SpeakerEncoder(model.speaker.config))
    merged = {
        name.replace(".parametrizations.weight.original", ".weight"): tensor
        for name, tensor in model.state_dict().items()
        if not name.endswith(".projection")
    }
    for name, module in model.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            merged[f"{name}.weight"] = module.weight
    copy.load_state_dict(merged)
    return copy.to(next(model.parameters()).device).eval().requires_grad_(False)
