"""`tonal`: music whose notes stay notes. Long cosine transforms below, noise bands on three clocks above.

Below `n_low` coefficients a transform with long windows sees single partials. Its log energies in narrow bands are one
vector a frame. The coefficients below `n_shaped`, divided by the coded energies and compressed by a square root, are
coded with their signs, so loud partials and the gaps between them both survive; those above are noise of narrow bands.
Higher frequencies are noise of band energies at 12.5, 25 and 50 frames a second (`band_spectra`, `vq.levels`).

All codes of a frame form one column of `Codes` [B, K, T], coarse to fine: energies, slow bands and first shapes, then
two levels of faster bands and finer shapes. The first K of them are a coarser codec.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.codec.band_spectra import LOG_SCALE, BandAnalysis, BandSynthesis, SynthesisState, band_of_bin
from backend.codec.base import CausalCodec, Reconstruction
from backend.codec.vq.levels import Level, LevelStack
from backend.codec.vq.residual import EMAQuantizer, ResidualVQ
from backend.codes import CodecSpec
from backend.nn.lapped import LapState
from backend.nn.mdct import MdctAnalysis, MdctSynthesis

# Frames taken at a time on a CPU, so that a long file's memory stays flat.
BLOCK_FRAMES = 64
ENERGY_FLOOR = 1e-9
# Below this share of a band's magnitude the compression is linear: an infinite slope would turn rounding into codes.
LINEAR_BELOW = 0.01
N_NOISE_FRAMES = 256
# The log energy of bands that are not played.
SILENT = -50.0


@dataclass(slots=True)
class TonalEncoderState:
    tones: LapState
    bands: LapState


@dataclass(slots=True)
class TonalDecoderState:
    tones: LapState
    bands: SynthesisState
    late: Tensor  # [B, delay] samples of the bands that wait for the tones
    n_frames: Tensor  # [B], int64: which row of the noise table comes next


def compress(x: Tensor) -> Tensor:
    """A signed square root, linear near zero."""
    return x.sign() * ((x.abs() + LINEAR_BELOW).sqrt() - LINEAR_BELOW**0.5)


def expand(x: Tensor) -> Tensor:
    """The inverse of `compress`."""
    return x.sign() * ((x.abs() + LINEAR_BELOW**0.5).square() - LINEAR_BELOW)


class TonalCodec(CausalCodec):
    """32 kHz mono music at 12.5 frames a second: 16, 34 and 64 codes of 10 bits are 2, 4.25 and 8 kbps.

    `tones` are hop, shaped and all coefficients of the long transform and the widths of the energy bands of both parts;
    `bands` the n_fft, hop, single-bin bands and all bands of the short one (see `band_spectra`). `shape_width` is the
    coefficients that share a codebook; `shape_stages` has, for each level, the codebooks each such group gets.
    """

    code_parts = ("energies", "bands", "shapes")

    def __init__(
        self, sample_rate: int = 32_000, tones: Sequence[int] = (2560, 320, 640, 16, 8),
        bands: Sequence[int] = (960, 640, 48, 128), band_dim: int = 32, band_stages: Sequence[int] = (2, 2, 2),
        energy_stages: int = 6, shape_width: int = 64,
        shape_stages: Sequence[Sequence[int]] = ((2, 2, 2, 1, 1), (4, 4, 3, 2, 1), (5, 5, 5, 3, 4)),
        codebook_size: int = 1024,
    ):  # fmt: skip
        super().__init__()
        self.config = {
            "sample_rate": sample_rate, "tones": list(tones), "bands": list(bands), "band_dim": band_dim,
            "band_stages": list(band_stages), "energy_stages": energy_stages, "shape_width": shape_width,
            "shape_stages": [list(level) for level in shape_stages], "codebook_size": codebook_size,
        }  # fmt: skip
        hop, self.n_shaped, n_low, *self.widths = tones
        n_fft, short_hop, n_single, n_bands = bands
        self.n_groups = self.n_shaped // shape_width
        if self.n_shaped % shape_width or hop % short_hop or any(len(level) != self.n_groups for level in shape_stages):
            raise ValueError(f"{self.n_shaped} coefficients, groups of {shape_width}, stages {shape_stages}, hop {hop}")
        self.shape_width = shape_width
        self.tone_analysis, self.tone_synthesis = MdctAnalysis(hop, n_low), MdctSynthesis(hop, n_low)
        self.band_analysis, self.band_synthesis = BandAnalysis(*bands), BandSynthesis(*bands)
        # The first band that lies wholly above the long transform's coefficients.
        band = band_of_bin(n_fft, n_single, n_bands)
        self.first_band = int(band[-(-n_low * n_fft // (2 * hop)) - 1]) + 1
        factors = (hop // short_hop, hop // short_hop // 2, hop // short_hop // 4)
        self.bands = LevelStack(
            [Level(n_bands - self.first_band, 1, factor, band_dim, stages, codebook_size, seed=100 * i)
             for i, (factor, stages) in enumerate(zip(factors, band_stages, strict=True))]
        )  # fmt: skip
        n_energies = self.n_shaped // self.widths[0] + (n_low - self.n_shaped) // self.widths[1]
        self.energies = ResidualVQ([EMAQuantizer(n_energies, codebook_size, seed=s) for s in range(energy_stages)])
        self.shapes = nn.ModuleList(
            ResidualVQ([EMAQuantizer(shape_width, codebook_size, seed=50 * i + s) for s in range(sum(stages))])
            for i, stages in enumerate(zip(*shape_stages, strict=True))
        )
        self.part_sizes = (energy_stages, self.bands.n_codebooks, *(len(vq.sizes) for vq in self.shapes))
        self.level_ends, order = self._column_order(band_stages, shape_stages)
        self.register_buffer("order", torch.tensor(order), persistent=False)
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(N_NOISE_FRAMES, n_low - self.n_shaped, generator=generator)
        self.register_buffer("noise", noise, persistent=False)
        self.spec = CodecSpec(
            name="tonal", sample_rate_hz=sample_rate, hop_samples=hop,
            codebook_sizes=(codebook_size,) * sum(self.part_sizes), latency_samples=hop,
        )  # fmt: skip
        self.band_delay = hop - (n_fft - short_hop)

    def _column_order(
        self, band_stages: Sequence[int], shape_stages: Sequence[Sequence[int]]
    ) -> tuple[tuple[int, ...], list[int]]:
        """How many codes the levels up to each have, and for each code of a column its place among all parts' codes."""
        starts = [0, *accumulate(self.part_sizes)]
        band_ends = [0, *self.bands.level_ends]
        order, ends, n_used = list(range(starts[1])), [], [0] * self.n_groups
        for i in range(len(band_stages)):
            order += [starts[1] + code for code in range(band_ends[i], band_ends[i + 1])]
            for stage in range(max(shape_stages[i])):
                for group in range(self.n_groups):
                    if stage < shape_stages[i][group]:
                        order.append(starts[2 + group] + n_used[group])
                        n_used[group] += 1
            ends.append(len(order))
        return tuple(ends), order

    def encoder_state(self, batch: int) -> TonalEncoderState:
        return TonalEncoderState(self.tone_analysis.init_state(batch), self.band_analysis.init_state(batch))

    def decoder_state(self, batch: int) -> TonalDecoderState:
        late = self.noise.new_zeros(batch, self.band_delay)
        n_frames = torch.zeros(batch, dtype=torch.long, device=late.device)
        return TonalDecoderState(
            self.tone_synthesis.init_state(batch), self.band_synthesis.init_state(batch), late, n_frames
        )

    def encode_frames(self, audio: Tensor, state: Any, n_codebooks: int) -> Tensor:
        state = state or self.encoder_state(audio.shape[0])
        pieces = audio.split(BLOCK_FRAMES * self.spec.hop_samples, dim=2)
        return torch.cat([self._indices(*self._analyze(piece, state))[:, :n_codebooks] for piece in pieces], dim=2)

    def decode_frames(self, indices: Tensor, state: Any) -> Tensor:
        state = state or self.decoder_state(indices.shape[0])
        pieces = indices.split(BLOCK_FRAMES, dim=2)
        return torch.cat([self._synthesize(*self._dequantize(piece), state) for piece in pieces], dim=2).clamp(-1, 1)

    def reconstruct(
        self, audio: Tensor, n_codebooks: Tensor | None = None, is_quantized: bool = True
    ) -> Reconstruction:
        """The round trip of audio. No gradient passes the codes: this codec is fitted, not trained."""
        coefficients, bands = self._analyze(audio, self.encoder_state(audio.shape[0]))
        energies = self._energies(coefficients)
        shapes = compress(coefficients[..., : self.n_shaped] / self._magnitudes(energies)[..., : self.n_shaped])
        latent = torch.cat([energies, shapes], dim=2).transpose(1, 2)
        zero, state = latent.new_zeros(()), self.decoder_state(audio.shape[0])
        if not is_quantized:
            return Reconstruction(self._synthesize(energies, bands, shapes, state), latent, None, zero, zero)
        indices = self._indices(coefficients, bands)
        if n_codebooks is None:
            return Reconstruction(self._synthesize(*self._dequantize(indices), state), latent, indices, zero, zero)
        rows = [self.decode_frames(indices[i : i + 1, : int(n)], None) for i, n in enumerate(n_codebooks)]
        return Reconstruction(torch.cat(rows), latent, indices, zero, zero)

    @torch.no_grad()
    def code_margins(self, audio: Tensor) -> Tensor:
        """By how much each code of audio [B, 1, T * hop] beats the next best in squared distance, [B, K, T]."""
        coefficients, bands = self._analyze(audio, self.encoder_state(audio.shape[0]))
        energies = self._energies(coefficients).transpose(1, 2)
        coded = self.energies.decode(self.energies.encode(energies)).transpose(1, 2)
        rows = [self.energies.margins(energies), self.bands.margins(bands, torch.zeros_like(bands[..., :1]))]
        rows += [vq.margins(group) for vq, group in zip(self.shapes, self._groups(coefficients, coded), strict=True)]
        return torch.cat(rows, dim=1)[:, self.order]

    @torch.no_grad()
    def init_from(self, audio: Tensor) -> None:
        """Fit everything there is to fit to audio [B, 1, T * hop]: bands by principal components, codes by k-means."""
        parts = [self._analyze(item[None], self.encoder_state(1)) for item in audio]
        coefficients, bands = (torch.cat(column) for column in zip(*parts, strict=True))
        self.bands.init_from(bands, torch.zeros_like(bands[..., :1]), is_map_fitted=True)
        energies = self._energies(coefficients).transpose(1, 2)
        self.energies.init_from(energies)
        coded = self.energies.decode(self.energies.encode(energies)).transpose(1, 2)
        for vq, group in zip(self.shapes, self._groups(coefficients, coded), strict=True):
            vq.init_from(group)

    def place_codebooks(self, batches: Iterable[Tensor]) -> None:
        self.init_from(torch.cat(list(batches)))

    def _analyze(self, audio: Tensor, state: TonalEncoderState) -> tuple[Tensor, Tensor]:
        """Audio [B, 1, T * hop] to coefficients [B, T, n_low] and the energies of the bands above, [B, t, F]."""
        coefficients = self.tone_analysis(audio[:, 0], state.tones)
        return coefficients, self.band_analysis(audio, state.bands).transpose(1, 2)[..., self.first_band :]

    def _energies(self, coefficients: Tensor) -> Tensor:
        parts = coefficients.square().split([self.n_shaped, coefficients.shape[2] - self.n_shaped], dim=2)
        bands = [x.unflatten(2, (-1, width)).mean(dim=3) for x, width in zip(parts, self.widths, strict=True)]
        return (torch.cat(bands, dim=2) + ENERGY_FLOOR).log() / LOG_SCALE

    def _magnitudes(self, energies: Tensor) -> Tensor:
        """The magnitude of every coefficient [B, T, n_low] from log energies [B, T, bands]."""
        n_wide = self.n_shaped // self.widths[0]
        parts = (energies * (LOG_SCALE / 2)).exp().split([n_wide, energies.shape[2] - n_wide], dim=2)
        return torch.cat([x.repeat_interleave(w, dim=2) for x, w in zip(parts, self.widths, strict=True)], dim=2)

    def _groups(self, coefficients: Tensor, energies: Tensor) -> list[Tensor]:
        """The compressed shapes [B, shape_width, T] of each group."""
        shaped = coefficients[..., : self.n_shaped] / self._magnitudes(energies)[..., : self.n_shaped]
        return list(compress(shaped).transpose(1, 2).split(self.shape_width, dim=1))

    def _indices(self, coefficients: Tensor, bands: Tensor) -> Tensor:
        energies = self.energies.encode(self._energies(coefficients).transpose(1, 2))
        coded = self.energies.decode(energies).transpose(1, 2)
        rows = [energies, self.bands.encode(bands, torch.zeros_like(bands[..., :1]), self.bands.n_codebooks)]
        rows += [vq.encode(group) for vq, group in zip(self.shapes, self._groups(coefficients, coded), strict=True)]
        return torch.cat(rows, dim=1)[:, self.order]

    def _dequantize(self, indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The first K rows of a column [B, K, T] to energies, bands and shapes; what has no code is silent or flat."""
        batch, n_codes, n_frames = indices.shape
        order = self.order[:n_codes]
        parts, start = [], 0
        for size in self.part_sizes:
            parts.append(indices[:, (order >= start) & (order < start + size)])
            start += size
        energies = self.energies.decode(parts[0]).transpose(1, 2)
        factor = self.bands.levels[0].factor
        if parts[1].shape[1]:
            bands = self.bands.decode(parts[1])
        else:
            bands = energies.new_full((batch, n_frames * factor, self.bands.levels[0].n_features), SILENT)
        flat = energies.new_zeros(batch, self.shape_width, n_frames)
        shapes = [vq.decode(x) if x.shape[1] else flat for vq, x in zip(self.shapes, parts[2:], strict=True)]
        return energies, bands, torch.cat(shapes, dim=1).transpose(1, 2)

    def _synthesize(self, energies: Tensor, bands: Tensor, shapes: Tensor, state: TonalDecoderState) -> Tensor:
        n_frames = energies.shape[1]
        order = state.n_frames[:, None] + torch.arange(n_frames, device=energies.device)
        state.n_frames += n_frames
        signs = torch.cat([expand(shapes), self.noise[order % N_NOISE_FRAMES]], dim=2)
        tones = self.tone_synthesis(self._magnitudes(energies) * signs, state.tones)
        features = F.pad(bands, (self.first_band, 0), value=SILENT)
        features = F.pad(features, (0, self.band_synthesis.n_features - features.shape[2]))
        above = self.band_synthesis(features.transpose(1, 2), state.bands)[:, 0]
        above = torch.cat([state.late, above], dim=1)
        state.late.copy_(above[:, above.shape[1] - self.band_delay :])
        return (tones + above[:, : tones.shape[1]]).unsqueeze(1)
