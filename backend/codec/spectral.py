"""`spectral`: a small causal speech codec on short-time spectra.

Spectral frames (hann 960, hop 240 at 24 kHz: 100 Hz) -> residual blocks -> one latent every `stride` frames -> residual
vector quantizer -> residual blocks -> magnitude and phase -> overlap-add. Everything above 100 Hz is a Fourier
transform, so one core runs it tens of times faster than real time. The synthesis overlap delays the audio by n_fft -
hop samples; the decoder is trained against the input with that delay, otherwise it would have to predict 30 ms of
future.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.codec.base import CausalCodec, Reconstruction
from backend.codec.vq.residual import EMAQuantizer, ResidualVQ
from backend.codes import CodecSpec
from backend.nn.conv import ConvState
from backend.nn.frame_mixer import FrameMixer
from backend.nn.packed_linear import PackedLinear
from backend.nn.stft import CausalISTFT, CausalSTFT, FrameState

# About 100 dB below full scale: levels below 16-bit rounding noise should not change the codes.
POWER_FLOOR = 1e-6
MAX_LOG_MAGNITUDE = 7.0


@dataclass(slots=True)
class EncoderState:
    frames: FrameState
    blocks: list[ConvState]


@dataclass(slots=True)
class DecoderState:
    blocks: list[ConvState]
    latent: ConvState
    frames: FrameState


class SpectralEncoder(nn.Module):
    """Encodes samples [B, T * stride * hop] as latents [B, T, latent_dim] of unit mean square.

    Its input is log power alone. With compressed complex spectra instead it learned half as fast, and with both no
    faster (docs/log.md): at these bitrates there are no bits for phase.
    """

    def __init__(self, n_fft: int, hop_samples: int, dims: Sequence[int], depths: Sequence[int], stride: int,
                 latent_dim: int):  # fmt: skip
        super().__init__()
        self.stride = stride
        n_bins = n_fft // 2 + 1
        self.stft = CausalSTFT(n_fft, hop_samples)
        self.project_in = PackedLinear(n_bins, dims[0])
        self.fast_blocks = nn.ModuleList(FrameMixer(dims[0]) for _ in range(depths[0]))
        self.merge = PackedLinear(stride * dims[0], dims[1])
        self.slow_blocks = nn.ModuleList(FrameMixer(dims[1]) for _ in range(depths[1]))
        self.norm = nn.LayerNorm(dims[1])
        self.project_out = PackedLinear(dims[1], latent_dim)

    def init_state(self, batch: int) -> EncoderState:
        blocks = [block.init_state(batch) for block in (*self.fast_blocks, *self.slow_blocks)]
        return EncoderState(self.stft.init_state(batch), blocks)

    def forward(self, samples: Tensor, state: EncoderState | None = None) -> Tensor:
        spectra = self.stft(samples, None if state is None else state.frames)
        power = torch.view_as_real(spectra).square().sum(dim=3)
        x = self.project_in((power + POWER_FLOOR).log())
        for i, block in enumerate(self.fast_blocks):
            x = block(x, None if state is None else state.blocks[i])
        x = self.merge(x.reshape(x.shape[0], -1, self.merge.in_features))
        for i, block in enumerate(self.slow_blocks, start=len(self.fast_blocks)):
            x = block(x, None if state is None else state.blocks[i])
        latent = self.project_out(self.norm(x))
        return F.rms_norm(latent, latent.shape[2:])


class SpectralDecoder(nn.Module):
    """Decodes latents [B, T, latent_dim] to samples [B, T * stride * hop]."""

    def __init__(self, n_fft: int, hop_samples: int, dims: Sequence[int], depths: Sequence[int], stride: int,
                 latent_dim: int):  # fmt: skip
        super().__init__()
        self.n_bins, self.stride, self.latent_dim = n_fft // 2 + 1, stride, latent_dim
        self.project_in = PackedLinear(3 * latent_dim, dims[0])
        self.slow_blocks = nn.ModuleList(FrameMixer(dims[0]) for _ in range(depths[0]))
        self.split = PackedLinear(dims[0], stride * dims[1])
        self.fast_blocks = nn.ModuleList(FrameMixer(dims[1]) for _ in range(depths[1]))
        self.norm = nn.LayerNorm(dims[1])
        self.project_out = PackedLinear(dims[1], 2 * self.n_bins)
        self.istft = CausalISTFT(n_fft, hop_samples)

    def init_state(self, batch: int) -> DecoderState:
        blocks = [block.init_state(batch) for block in (*self.slow_blocks, *self.fast_blocks)]
        latent = ConvState(self.project_in.weight.new_zeros(batch, 2, self.latent_dim))
        return DecoderState(blocks, latent, self.istft.init_state(batch))

    def forward(self, latent: Tensor, state: DecoderState | None = None) -> Tensor:
        n_frames = latent.shape[1]
        if state is None:
            padded = F.pad(latent, (0, 0, 2, 0))
        else:
            padded = torch.cat([state.latent.past, latent], dim=1)
            state.latent.past.copy_(padded[:, n_frames:])
        x = self.project_in(padded.unfold(1, 3, 1).flatten(2))
        for i, block in enumerate(self.slow_blocks):
            x = block(x, None if state is None else state.blocks[i])
        x = self.split(x).view(x.shape[0], n_frames * self.stride, -1)
        for i, block in enumerate(self.fast_blocks, start=len(self.slow_blocks)):
            x = block(x, None if state is None else state.blocks[i])
        log_magnitude, phase = self.project_out(self.norm(x)).split(self.n_bins, dim=2)
        spectra = torch.polar(log_magnitude.clamp_max(MAX_LOG_MAGNITUDE).exp(), phase)
        return self.istft(spectra, None if state is None else state.frames)


class SpectralCodec(CausalCodec):
    """24 kHz mono speech at 25 frames per second and 8 x 10 bits per frame: 2 kbps, 70 ms latency."""

    code_parts = ("encoder", "quantizer")

    def __init__(
        self, sample_rate: int = 24000, n_fft: int = 960, hop_samples: int = 240, stride: int = 4,
        encoder_dims: Sequence[int] = (192, 256), encoder_depths: Sequence[int] = (3, 2),
        decoder_dims: Sequence[int] = (256, 224), decoder_depths: Sequence[int] = (2, 6),
        latent_dim: int = 32, n_codebooks: int = 8, codebook_size: int = 1024,
    ):  # fmt: skip
        super().__init__()
        self.config = {
            "sample_rate": sample_rate, "n_fft": n_fft, "hop_samples": hop_samples, "stride": stride,
            "encoder_dims": list(encoder_dims), "encoder_depths": list(encoder_depths),
            "decoder_dims": list(decoder_dims), "decoder_depths": list(decoder_depths),
            "latent_dim": latent_dim, "n_codebooks": n_codebooks, "codebook_size": codebook_size,
        }  # fmt: skip
        self.encoder = SpectralEncoder(n_fft, hop_samples, encoder_dims, encoder_depths, stride, latent_dim)
        self.quantizer = ResidualVQ(
            [EMAQuantizer(latent_dim, codebook_size, seed=stage) for stage in range(n_codebooks)]
        )
        self.decoder = SpectralDecoder(n_fft, hop_samples, decoder_dims, decoder_depths, stride, latent_dim)
        self.spec = CodecSpec(
            name="spectral",
            sample_rate_hz=sample_rate,
            hop_samples=hop_samples * stride,
            codebook_sizes=(codebook_size,) * n_codebooks,
            latency_samples=n_fft - hop_samples,
        )

    def encoder_state(self, batch: int) -> EncoderState:
        return self.encoder.init_state(batch)

    def decoder_state(self, batch: int) -> DecoderState:
        return self.decoder.init_state(batch)

    def encode_frames(self, audio: Tensor, state: Any, n_codebooks: int) -> Tensor:
        latent = self.encoder(audio[:, 0], state)
        return self.quantizer.encode(latent.transpose(1, 2), n_codebooks)

    def decode_frames(self, indices: Tensor, state: Any) -> Tensor:
        latent = self.quantizer.decode(indices)
        return self.decoder(latent.transpose(1, 2), state).clamp(-1, 1).unsqueeze(1)

    def reconstruct(
        self, audio: Tensor, n_codebooks: Tensor | None = None, is_quantized: bool = True
    ) -> Reconstruction:
        latent = self.encoder(audio[:, 0]).transpose(1, 2)
        if not is_quantized:
            zero = latent.new_zeros(())
            samples = self.decoder(latent.transpose(1, 2))
            return Reconstruction(samples.unsqueeze(1), latent, None, zero, zero)
        quantized, indices, commitment, codebook = self.quantizer(latent, n_codebooks)
        samples = self.decoder(quantized.transpose(1, 2))
        return Reconstruction(samples.unsqueeze(1), latent, indices, commitment, codebook)
