"""SoundStream: causal convolutions around a residual vector quantizer (arXiv 2107.03312, section III)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.codec.band_spectra import BandAnalysis, BandSynthesis, SynthesisState, principal_components
from backend.codec.base import CausalCodec, CodecState, Reconstruction
from backend.codec.vq.residual import EMAQuantizer, ResidualVQ
from backend.codes import CodecSpec, Codes
from backend.nn.conv import CausalConv1d, CausalConvTranspose1d, ConvState
from backend.nn.lapped import LapState

_DILATIONS = (1, 3, 9)


@dataclass(slots=True)
class BlockState:
    resample: ConvState
    units: list[ConvState]


@dataclass(slots=True)
class StackState:
    first: ConvState
    blocks: list[BlockState]
    last: ConvState
    transform: LapState | SynthesisState | None = None


class Bands(NamedTuple):
    """The transform at both ends of a codec that works on band energies: see `band_spectra`."""

    n_fft: int
    hop_samples: int
    n_single: int
    n_bands: int


class ResidualUnit(nn.Module):
    """A dilated 7-tap convolution and a pointwise convolution with a residual connection."""

    def __init__(self, channels: int, dilation: int):
        super().__init__()
        self.dilated = CausalConv1d(channels, channels, 7, dilation=dilation)
        self.mix = CausalConv1d(channels, channels, 1)

    def forward(self, x: Tensor, state: ConvState | None = None) -> Tensor:
        # In place where autograd allows it, which saves a quarter of a training step's activations.
        return self.mix(F.elu_(self.dilated(F.elu(x), state))).add_(x)


class EncoderBlock(nn.Module):
    """Three residual units, then downsampling by `stride` with twice the channels."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.units = nn.ModuleList(ResidualUnit(in_channels, dilation) for dilation in _DILATIONS)
        self.resample = CausalConv1d(in_channels, out_channels, 2 * stride, stride)

    def forward(self, x: Tensor, state: BlockState | None = None) -> Tensor:
        x = _run_units(self.units, x, state)
        return self.resample(F.elu_(x), None if state is None else state.resample)


class DecoderBlock(nn.Module):
    """Upsampling by `stride` with half the channels, then three residual units."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.resample = CausalConvTranspose1d(in_channels, out_channels, 2 * stride, stride)
        self.units = nn.ModuleList(ResidualUnit(out_channels, dilation) for dilation in _DILATIONS)

    def forward(self, x: Tensor, state: BlockState | None = None) -> Tensor:
        x = self.resample(F.elu_(x), None if state is None else state.resample)
        return _run_units(self.units, x, state)


class ConvStack(nn.Module):
    """First convolution, blocks and last convolution of the encoder or decoder.

    Where the codec works on band energies, `transform` goes before them or after them, and `shortcut`, a linear map
    of each frame, beside them: it alone is a codec, which the convolutions then improve.
    """

    def __init__(
        self, first: CausalConv1d, blocks: Sequence[EncoderBlock | DecoderBlock], last: CausalConv1d,
        transform: BandAnalysis | BandSynthesis | None = None, shortcut: CausalConv1d | None = None,
    ):  # fmt: skip
        super().__init__()
        self.first = first
        self.blocks = nn.ModuleList(blocks)
        self.last = last
        self.transform, self.shortcut = transform, shortcut
        if shortcut is not None:
            nn.init.zeros_(last.weight)
            assert last.bias is not None
            nn.init.zeros_(last.bias)

    def init_state(self, batch: int) -> StackState:
        blocks = [
            BlockState(block.resample.init_state(batch), [unit.dilated.init_state(batch) for unit in block.units])
            for block in self.blocks
        ]
        transform = None if self.transform is None else self.transform.init_state(batch)
        return StackState(self.first.init_state(batch), blocks, self.last.init_state(batch), transform)

    def forward(self, x: Tensor, state: StackState | None = None) -> Tensor:
        transform_state: Any = None if state is None else state.transform
        if isinstance(self.transform, BandAnalysis):
            x = self.transform(x, transform_state)
        linear = None if self.shortcut is None else self.shortcut(x)
        x = self.first(x, None if state is None else state.first)
        for index, block in enumerate(self.blocks):
            x = block(x, None if state is None else state.blocks[index])
        x = self.last(F.elu_(x), None if state is None else state.last)
        if linear is not None:
            x = x + F.pad(linear, (0, 0, 0, x.shape[1] - linear.shape[1]))
        return self.transform(x, transform_state) if isinstance(self.transform, BandSynthesis) else x


class SoundStream(CausalCodec):
    """The codec of the paper: `C` channels at the audio rate, doubled by each of `strides`, and latents of size `D`.

    At 24 kHz with the default strides: 75 frames per second of 8 codes with 10 bits, 6 kbps, or 3 kbps with the first
    4.

    With `bands` = (n_fft, hop, n_single, n_bands) the same stack processes band energies instead of samples: they
    enter the first convolution, and energies and corrections of a noise spectrum leave the last. All strides must
    then be 1, and the latency is n_fft - hop samples.
    """

    def __init__(
        self, C: int = 32, D: int = 512, strides: Sequence[int] = (2, 4, 5, 8), num_quantizers: int = 8,
        codebook_size: int = 1024, sample_rate: int = 24_000, bands: Sequence[int] | None = None,
    ):  # fmt: skip
        super().__init__()
        self.config: dict[str, Any] = {
            "C": C,
            "D": D,
            "strides": list(strides),
            "num_quantizers": num_quantizers,
            "codebook_size": codebook_size,
            "sample_rate": sample_rate,
        }
        hop, lag, n_inputs, n_outputs = prod(strides), 0, 1, 1
        ends: tuple[Any, Any] = ((), ())  # transform and shortcut of the encoder and of the decoder
        if bands is not None:
            if hop != 1:
                raise ValueError(f"strides are {list(strides)}; with bands all must be 1")
            shape = Bands(*bands)
            self.config["bands"] = list(shape)
            hop, lag, n_inputs = shape.hop_samples, shape.n_fft - shape.hop_samples, shape.n_bands
            synthesis = BandSynthesis(*shape)
            n_outputs = synthesis.n_features
            ends = (
                (BandAnalysis(*shape), CausalConv1d(n_inputs, D, 1)),
                (synthesis, CausalConv1d(D, n_inputs, 1)),
            )
        sizes = (codebook_size,) * num_quantizers
        self.spec = CodecSpec("soundstream", sample_rate, hop, sizes, latency_samples=lag)
        widths = [C * 2**level for level in range(len(strides) + 1)]
        levels = list(zip(widths, widths[1:], strides, strict=False))
        self.encoder = ConvStack(
            CausalConv1d(n_inputs, C, 7),
            [EncoderBlock(narrow, wide, stride) for narrow, wide, stride in levels],
            CausalConv1d(widths[-1], D, 3),
            *ends[0],
        )
        self.quantizer = ResidualVQ([EMAQuantizer(D, codebook_size, seed=k) for k in range(num_quantizers)])
        self.decoder = ConvStack(
            CausalConv1d(D, widths[-1], 7),
            [DecoderBlock(wide, narrow, stride) for narrow, wide, stride in reversed(levels)],
            CausalConv1d(C, n_outputs, 7),
            *ends[1],
        )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SoundStream:
        return cls(**config)

    @torch.no_grad()
    def init_from(self, audio: Tensor) -> None:
        """Set the shortcuts to the principal components of the band energies in audio [B, 1, T * hop]."""
        transform, inward, outward = self.encoder.transform, self.encoder.shortcut, self.decoder.shortcut
        if transform is None or inward is None or outward is None:
            return
        mean, components = principal_components(transform(audio).transpose(1, 2).flatten(0, 1), inward.out_channels)
        inward.weight.copy_(components.T[:, :, None])
        outward.weight.copy_(components[:, :, None])
        assert inward.bias is not None and outward.bias is not None
        inward.bias.copy_(-mean @ components)
        outward.bias.copy_(mean)

    def encoder_state(self, batch: int) -> StackState:
        return self.encoder.init_state(batch)

    def decoder_state(self, batch: int) -> StackState:
        return self.decoder.init_state(batch)

    def encode_frames(self, audio: Tensor, state: StackState | None, n_codebooks: int) -> Tensor:
        state, block = self._plan_blocks(audio, state, self.encoder)
        pieces = audio.split(block * self.spec.hop_samples, dim=2)
        return torch.cat([self.quantizer.encode(self.encoder(piece, state), n_codebooks) for piece in pieces], dim=2)

    def decode_frames(self, indices: Tensor, state: StackState | None) -> Tensor:
        state, block = self._plan_blocks(indices, state, self.decoder)
        pieces = [self.decoder(self.quantizer.decode(piece), state) for piece in indices.split(block, dim=2)]
        return torch.cat(pieces, dim=2).clamp_(-1, 1)

    def decode(self, codes: Codes | Tensor, state: CodecState | None = None) -> Tensor:
        """Decodes codes like any codec; also accepts plain indices [B, K, T] of this codec."""
        if isinstance(codes, Tensor):
            codes = Codes(codes, self.spec.name)
        return super().decode(codes, state)

    def reconstruct(
        self, audio: Tensor, n_codebooks: Tensor | None = None, is_quantized: bool = True
    ) -> Reconstruction:
        """Runs the differentiable round trip of audio [B, 1, T * hop], without clipping."""
        latent = self.encoder(audio)
        if not is_quantized:
            nothing = latent.new_zeros(())
            return Reconstruction(self.decoder(latent), latent, None, nothing, nothing)
        output = self.quantizer(latent, n_codebooks)
        return Reconstruction(
            self.decoder(output.quantized), latent, output.indices, output.commitment, output.codebook
        )

    def _plan_blocks(self, x: Tensor, state: StackState | None, stack: ConvStack) -> tuple[StackState | None, int]:
        """Returns the initial state and the number of frames per block.

        On CPU, one second at a time keeps the activations in the cache (a third faster at 10 s) and bounds the memory
        for long files; states join the blocks exactly as in a stream.
        """
        if x.device.type != "cpu" or torch.is_grad_enabled():
            return state, x.shape[2]
        return state or stack.init_state(x.shape[0]), max(1, round(self.spec.frame_rate_hz))

    def code_margins(self, audio: Tensor) -> Tensor:
        """Returns the squared-distance margin of each code of audio [B, 1, T * hop] to the next best, [B, K, T]."""
        return self.quantizer.margins(self.encoder(audio))


def _run_units(units: nn.ModuleList, x: Tensor, state: BlockState | None) -> Tensor:
    for index, unit in enumerate(units):
        x = unit(x, None if state is None else state.units[index])
    return x
