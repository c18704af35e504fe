"""The causal DAC of openaudio-s1-mini: 44.1 kHz, 21.53 frames per second, one semantic and nine residual codebooks.

Both directions are strictly causal, so both stream exactly with explicit state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from backend.codec.base import CausalCodec, Reconstruction
from backend.codec.dac_layers import DacConvStackState, DacDecoder, DacEncoder
from backend.codec.vq.factorized import FactorizedQuantizer
from backend.codes import CodecSpec
from backend.nn.conv import CausalConv1d, CausalConvTranspose1d, ConvState
from backend.nn.convnext import CausalConvNeXt
from backend.nn.transformer import TransformerState, WindowTransformer


@dataclass(slots=True)
class RateState:
    rate: ConvState
    mix: ConvState


@dataclass(slots=True)
class FishEncoderState:
    convolutions: DacConvStackState
    stages: list[RateState]
    transformer: TransformerState


@dataclass(slots=True)
class FishDecoderState:
    transformer: TransformerState
    stages: list[RateState]
    convolutions: DacConvStackState


class RateStage(nn.Module):
    """Changes the frame rate by `factor`, down or up, then mixes frames with a ConvNeXt block."""

    def __init__(self, dim: int, factor: int, is_upward: bool):
        super().__init__()
        convolution = CausalConvTranspose1d if is_upward else CausalConv1d
        self.rate = convolution(dim, dim, factor, stride=factor)
        self.mix = CausalConvNeXt(dim)

    def init_state(self, batch: int) -> RateState:
        return RateState(self.rate.init_state(batch), self.mix.init_state(batch))

    def forward(self, x: Tensor, state: RateState | None = None) -> Tensor:
        x = self.rate(x, None if state is None else state.rate)
        return self.mix(x, None if state is None else state.mix)


def run_stages(stages: nn.ModuleList, x: Tensor, states: list[RateState] | None) -> Tensor:
    for index, stage in enumerate(stages):
        x = stage(x, None if states is None else states[index])
    return x


class FishDAC(CausalCodec):
    """Encoder, downsampling, transformer, quantizers; and back through a transformer, upsampling, decoder.

    The semantic codebook quantizes the features, the `n_residual_codebooks` others its residual. Published sizes are
    the defaults.
    """

    def __init__(
        self, encoder_dim: int = 64, encoder_rates: Sequence[int] = (2, 4, 8, 8),
        encoder_transformer_layers: Sequence[int] = (0, 0, 0, 4), encoder_window: int = 512,
        decoder_dim: int = 1536, decoder_rates: Sequence[int] = (8, 8, 4, 2), latent_dim: int = 1024,
        n_layers: int = 8, n_heads: int = 16, head_dim: int = 64, hidden_dim: int = 3072, window: int = 128,
        semantic_codebook_size: int = 4096, n_residual_codebooks: int = 9, residual_codebook_size: int = 1024,
        code_dim: int = 8, downsample_factors: Sequence[int] = (2, 2), sample_rate_hz: int = 44_100,
    ):  # fmt: skip
        config = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        super().__init__()
        self.config = config
        sizes = (semantic_codebook_size, *[residual_codebook_size] * n_residual_codebooks)
        hop = prod(encoder_rates) * prod(downsample_factors)
        self.spec = CodecSpec("fish_dac", sample_rate_hz, hop, sizes)
        self.encoder = DacEncoder(
            encoder_dim, tuple(encoder_rates), latent_dim, tuple(encoder_transformer_layers), encoder_window
        )
        factors = tuple(downsample_factors)
        self.downsample = nn.ModuleList(RateStage(latent_dim, factor, is_upward=False) for factor in factors)
        self.upsample = nn.ModuleList(RateStage(latent_dim, factor, is_upward=True) for factor in reversed(factors))
        self.pre_transformer = WindowTransformer(latent_dim, n_layers, n_heads, head_dim, hidden_dim, window)
        self.post_transformer = WindowTransformer(latent_dim, n_layers, n_heads, head_dim, hidden_dim, window)
        self.quantizers = nn.ModuleList(FactorizedQuantizer(latent_dim, size, code_dim) for size in sizes)
        self.decoder = DacDecoder(latent_dim, decoder_dim, tuple(decoder_rates))

    def encoder_state(self, batch: int) -> FishEncoderState:
        stages = [stage.init_state(batch) for stage in self.downsample]
        return FishEncoderState(self.encoder.init_state(batch), stages, self.pre_transformer.init_state(batch))

    def decoder_state(self, batch: int) -> FishDecoderState:
        stages = [stage.init_state(batch) for stage in self.upsample]
        return FishDecoderState(self.post_transformer.init_state(batch), stages, self.decoder.init_state(batch))

    def encode_frames(self, audio: Tensor, state: FishEncoderState | None, n_codebooks: int) -> Tensor:
        x = self.encoder(audio, None if state is None else state.convolutions)
        x = run_stages(self.downsample, x, None if state is None else state.stages)
        return self.quantize(self.pre_transformer(x, None if state is None else state.transformer), n_codebooks)

    def decode_frames(self, indices: Tensor, state: FishDecoderState | None) -> Tensor:
        x = self.post_transformer(self.look_up(indices), None if state is None else state.transformer)
        x = run_stages(self.upsample, x, None if state is None else state.stages)
        return self.decoder(x, None if state is None else state.convolutions)

    def quantize(self, features: Tensor, n_codebooks: int) -> Tensor:
        """Quantizes features [B, D, T] to indices [B, K, T]; each codebook encodes the residual of the previous ones."""
        indices = []
        for quantizer in self.quantizers[:n_codebooks]:
            indices.append(quantizer.encode(features))
            features = features - quantizer.decode(indices[-1])
        return torch.stack(indices, dim=1)

    def look_up(self, indices: Tensor) -> Tensor:
        """Returns features [B, D, T] of indices [B, K, T]. Codes out of range are clamped.

        Language models sample residual codes from the range of the larger semantic codebook, and these checkpoints
        expect overflow to map to the last entry.
        """
        last = torch.tensor(self.spec.codebook_sizes[: indices.shape[1]], device=indices.device)[:, None] - 1
        indices = torch.minimum(indices.clamp(min=0), last)
        return sum(quantizer.decode(row) for quantizer, row in zip(self.quantizers, indices.unbind(1), strict=False))

    def encode_features(self, audio: Tensor) -> dict[str, Tensor]:
        """Returns the output of each encoder stage for audio [B, 1, N], for checking conversions."""
        self.check_audio(audio)
        audio = nn.functional.pad(audio, (0, -audio.shape[2] % self.spec.hop_samples))
        encoder_out = self.encoder(audio)
        downsampled = run_stages(self.downsample, encoder_out, None)
        return {
            "encoder_out": encoder_out,
            "downsampled": downsampled,
            "pre_module_out": self.pre_transformer(downsampled),
        }

    def dequantize(self, indices: Tensor) -> Tensor:
        """Returns the decoder's input [B, D, T * prod(downsample_factors)] for indices [B, K, T]."""
        return run_stages(self.upsample, self.post_transformer(self.look_up(indices)), None)

    def reconstruct(
        self, audio: Tensor, n_codebooks: Tensor | None = None, is_quantized: bool = True
    ) -> Reconstruction:
        raise NotImplementedError("FishDAC runs published weights; it cannot be trained. Train a 'soundstream' codec.")
