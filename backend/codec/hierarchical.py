"""`hierarchical`: music on three clocks. Slow codes say what lasts, faster ones what the slow ones left over.

Band energies of short frames -> level 0 codes groups of `factors[0]` frames, level 1 what is left of them in smaller
groups, and so on down to single frames -> the sum of all levels -> magnitudes, with noise phases and a learned
coherent part. Every level is a linear map, a network that corrects it, and a residual quantizer; the maps start as
principal components of what the coarser levels leave, so the codec works before the first training step.

All codes of one coarse frame form one column of `Codes` [B, K, T]: first those of level 0, then those of level 1,
each stage for all its groups in turn, and so on. The first K of them are a coarser codec.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.codec.band_spectra import BandAnalysis, BandSynthesis, SynthesisState
from backend.codec.base import CausalCodec, Reconstruction
from backend.codec.vq.levels import Level, LevelStack
from backend.codes import CodecSpec
from backend.nn.conv import ConvState
from backend.nn.frame_mixer import FrameMixer
from backend.nn.lapped import LapState
from backend.nn.packed_linear import PackedLinear

# Coarse frames taken at a time on a CPU: activations stay in the cache and a long file's memory stays flat.
BLOCK_FRAMES = 64


@dataclass(slots=True)
class HierarchicalEncoderState:
    lap: LapState
    blocks: list[ConvState]


@dataclass(slots=True)
class HierarchicalDecoderState:
    blocks: list[ConvState]
    synthesis: SynthesisState


class Encoder(nn.Module):
    """Samples [B, 1, T * hop] to band energies [B, t, F] and context features [B, t, dim] of the fine frames t."""

    def __init__(self, bands: Sequence[int], dim: int, depth: int):
        super().__init__()
        self.analysis = BandAnalysis(*bands)
        self.project = PackedLinear(bands[3], dim)
        self.blocks = nn.ModuleList(FrameMixer(dim) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)

    def init_state(self, batch: int) -> HierarchicalEncoderState:
        return HierarchicalEncoderState(
            self.analysis.init_state(batch), [block.init_state(batch) for block in self.blocks]
        )

    def forward(self, audio: Tensor, state: HierarchicalEncoderState | None = None) -> tuple[Tensor, Tensor]:
        energies = self.analysis(audio, None if state is None else state.lap).transpose(1, 2)
        x = self.project(energies)
        for i, block in enumerate(self.blocks):
            x = block(x, None if state is None else state.blocks[i])
        return energies, self.norm(x)


class Decoder(nn.Module):
    """The levels' sum [B, t, F] to samples [B, 1, t * hop]: corrected energies and a coherent part of the spectrum."""

    def __init__(self, bands: Sequence[int], dim: int, depth: int):
        super().__init__()
        self.synthesis = BandSynthesis(*bands)
        self.project = PackedLinear(bands[3], dim)
        self.blocks = nn.ModuleList(FrameMixer(dim) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.head = PackedLinear(dim, self.synthesis.n_features)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def init_state(self, batch: int) -> HierarchicalDecoderState:
        return HierarchicalDecoderState(
            [block.init_state(batch) for block in self.blocks], self.synthesis.init_state(batch)
        )

    def forward(self, energies: Tensor, state: HierarchicalDecoderState | None = None) -> Tensor:
        x = self.project(energies)
        for i, block in enumerate(self.blocks):
            x = block(x, None if state is None else state.blocks[i])
        features = self.head(self.norm(x))
        features = features + F.pad(energies, (0, features.shape[2] - energies.shape[2]))
        return self.synthesis(features.transpose(1, 2), None if state is None else state.synthesis)


class HierarchicalCodec(CausalCodec):
    """32 kHz mono music at 12.5, 25 and 50 frames a second: 1, 2 and 5 kbps, 8 together.

    `bands` are n_fft, hop, single-bin bands and all bands (see `band_spectra`); `factors` the fine frames in a group
    of each level; `latent_dims` and `n_stages` the width and the codebooks of its quantizer.
    """

    code_parts = ("encoder", "quantizer")

    def __init__(
        self, sample_rate: int = 32_000, bands: Sequence[int] = (960, 640, 48, 128),
        factors: Sequence[int] = (4, 2, 1), latent_dims: Sequence[int] = (64, 64, 64),
        n_stages: Sequence[int] = (8, 8, 10), codebook_size: int = 1024,
        encoder: Sequence[int] = (160, 2), decoder: Sequence[int] = (224, 4),
    ):  # fmt: skip
        super().__init__()
        self.config = {
            "sample_rate": sample_rate, "bands": list(bands), "factors": list(factors),
            "latent_dims": list(latent_dims), "n_stages": list(n_stages), "codebook_size": codebook_size,
            "encoder": list(encoder), "decoder": list(decoder),
        }  # fmt: skip
        n_fft, hop, _, n_bands = bands
        self.encoder = Encoder(bands, *encoder)
        self.quantizer = LevelStack(
            [Level(n_bands, encoder[0], *shape, codebook_size, seed=100 * i)
             for i, shape in enumerate(zip(factors, latent_dims, n_stages, strict=True))]
        )  # fmt: skip
        self.decoder = Decoder(bands, *decoder)
        self.spec = CodecSpec(
            name="hierarchical",
            sample_rate_hz=sample_rate,
            hop_samples=hop * factors[0],
            codebook_sizes=(codebook_size,) * self.quantizer.n_codebooks,
            latency_samples=n_fft - hop,
        )

    @property
    def level_ends(self) -> tuple[int, ...]:
        """How many codebooks the levels up to each have together."""
        return self.quantizer.level_ends

    def encoder_state(self, batch: int) -> HierarchicalEncoderState:
        return self.encoder.init_state(batch)

    def decoder_state(self, batch: int) -> HierarchicalDecoderState:
        return self.decoder.init_state(batch)

    def encode_frames(self, audio: Tensor, state: Any, n_codebooks: int) -> Tensor:
        state = state or self.encoder.init_state(audio.shape[0])
        pieces = audio.split(BLOCK_FRAMES * self.spec.hop_samples, dim=2)
        return torch.cat([self.quantizer.encode(*self.encoder(piece, state), n_codebooks) for piece in pieces], dim=2)

    def decode_frames(self, indices: Tensor, state: Any) -> Tensor:
        state = state or self.decoder.init_state(indices.shape[0])
        pieces = [self.decoder(self.quantizer.decode(piece), state) for piece in indices.split(BLOCK_FRAMES, dim=2)]
        return torch.cat(pieces, dim=2).clamp(-1, 1)

    def reconstruct(
        self, audio: Tensor, n_codebooks: Tensor | None = None, is_quantized: bool = True
    ) -> Reconstruction:
        output = self.quantizer(*self.encoder(audio), n_codebooks, is_quantized)
        zero = output.energies.new_zeros(())
        return Reconstruction(self.decoder(output.energies), output.latent, output.indices, output.commitment, zero)

    def code_margins(self, audio: Tensor) -> Tensor:
        """By how much each code of audio [B, 1, T * hop] beats the next best in squared distance, [B, K, T]."""
        return self.quantizer.margins(*self.encoder(audio))

    @torch.no_grad()
    def init_from(self, audio: Tensor) -> None:
        """Set every level's map to the principal components of what the quantized coarser levels leave of audio."""
        energies, context = self.encoder(audio)
        self.quantizer.init_from(energies, context, is_map_fitted=True)

    @torch.no_grad()
    def place_codebooks(self, batches: Iterable[Tensor]) -> None:
        """Put the codes of every stage among what it has to code in these batches of audio, by k-means."""
        parts = [self.encoder(audio) for audio in batches]
        energies, context = (torch.cat(column) for column in zip(*parts, strict=True))
        self.quantizer.init_from(energies, context, is_map_fitted=False)
