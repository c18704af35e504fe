"""EnCodec: a SEANet autoencoder with an LSTM and residual vector quantization, as MusicGen uses it at 32 kHz."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backend.codec.base import CausalCodec, CodecState
from backend.codes import CodecSpec, Codes
from backend.errors import NotSupported

PadMode = Literal["reflect", "constant", "replicate"]


class PaddedConv(nn.Module):
    """Convolution [B, C, N] -> [B, C', ceil(N / stride)], padded on both sides, or on the left if causal."""

    def __init__(
        self, n_in: int, n_out: int, kernel: int, stride: int = 1, dilation: int = 1, *,
        is_causal: bool = False, pad_mode: PadMode = "reflect",
    ):  # fmt: skip
        super().__init__()
        self.conv = nn.Conv1d(n_in, n_out, kernel, stride, dilation=dilation)
        self.n_padding, self.stride = (kernel - 1) * dilation + 1 - stride, stride
        self.is_causal, self.pad_mode = is_causal, pad_mode

    def forward(self, x: Tensor) -> Tensor:
        right = 0 if self.is_causal else self.n_padding // 2
        left = self.n_padding - right
        right += -x.shape[-1] % self.stride
        return self.conv(_padded(x, left, right, self.pad_mode))


def _padded(x: Tensor, left: int, right: int, mode: PadMode) -> Tensor:
    # Reflection needs more samples than it adds; shorter input is first extended by zeros, which are cut afterwards.
    missing = max(left, right) + 1 - x.shape[-1] if mode == "reflect" else 0
    if missing <= 0:
        return F.pad(x, (left, right), mode=mode)
    padded = F.pad(F.pad(x, (0, missing)), (left, right), mode=mode)
    return padded[..., : padded.shape[-1] - missing]


class TrimmedTransposedConv(nn.Module):
    """Transposed convolution [B, C, T] -> [B, C', T * stride]; what the kernel adds is trimmed on both sides."""

    def __init__(self, n_in: int, n_out: int, stride: int, *, is_causal: bool = False, trim_right_ratio: float = 1.0):
        super().__init__()
        self.conv = nn.ConvTranspose1d(n_in, n_out, 2 * stride, stride)
        self.right = math.ceil(stride * trim_right_ratio) if is_causal else stride // 2
        self.left = stride - self.right

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y[..., self.left : y.shape[-1] - self.right]


class SkipLSTM(nn.Module):
    """LSTM over time with a skip connection: [B, C, T] -> [B, C, T]."""

    def __init__(self, dim: int, n_layers: int):
        super().__init__()
        self.lstm = nn.LSTM(dim, dim, n_layers)

    def forward(self, x: Tensor) -> Tensor:
        return (self.lstm(x.permute(2, 0, 1))[0]).permute(1, 2, 0) + x


class EncodecResidual(nn.Module):
    """Residual unit of two convolutions through 1 / `compress` of the channels."""

    def __init__(self, dim: int, kernel: int, dilation: int, compress: int, has_shortcut: bool, **padding: Any):
        super().__init__()
        self.block = nn.ModuleList(
            [nn.ELU(), PaddedConv(dim, dim // compress, kernel, dilation=dilation, **padding), nn.ELU(),
             PaddedConv(dim // compress, dim, 1, **padding)]
        )  # fmt: skip
        self.shortcut = PaddedConv(dim, dim, 1, **padding) if has_shortcut else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in self.block:
            y = layer(y)
        return self.shortcut(x) + y


class LayerStack(nn.Module):
    """Layers in order, numbered as in the published checkpoints."""

    def __init__(self, layers: Sequence[nn.Module]):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class EuclideanCodebook(nn.Module):
    """Entries [V, D]; latents take the nearest one."""

    embed: Tensor

    def __init__(self, size: int, dim: int):
        super().__init__()
        self.register_buffer("embed", torch.randn(size, dim))


class CodebookLayer(nn.Module):
    def __init__(self, size: int, dim: int):
        super().__init__()
        self.codebook = EuclideanCodebook(size, dim)


class Encodec(CausalCodec):
    """EnCodec with published layer sizes. It is not causal: it encodes and decodes whole signals, without state.

    `ratios`: upsampling factors of the decoder, in its order; their product is the hop.
    """

    code_parts = ("encoder", "quantizer")

    def __init__(
        self, sample_rate: int = 32_000, channels: int = 1, ratios: Sequence[int] = (8, 5, 4, 4), n_filters: int = 64,
        dim: int = 128, n_residual_layers: int = 1, kernel: int = 7, last_kernel: int = 7, residual_kernel: int = 3,
        dilation_base: int = 2, compress: int = 2, n_lstm_layers: int = 2, n_codebooks: int = 4,
        codebook_size: int = 2048, pad_mode: PadMode = "reflect", has_shortcut: bool = False, is_causal: bool = False,
        trim_right_ratio: float = 1.0,
    ):  # fmt: skip
        super().__init__()
        padding: dict[str, Any] = {"is_causal": is_causal, "pad_mode": pad_mode}

        def residuals(width: int) -> list[nn.Module]:
            return [
                EncodecResidual(width, residual_kernel, dilation_base**j, compress, has_shortcut, **padding)
                for j in range(n_residual_layers)
            ]

        width = n_filters
        encoder: list[nn.Module] = [PaddedConv(channels, width, kernel, **padding)]
        for ratio in reversed(ratios):
            encoder += [*residuals(width), nn.ELU(), PaddedConv(width, 2 * width, 2 * ratio, ratio, **padding)]
            width *= 2
        lstm = [SkipLSTM(width, n_lstm_layers)] if n_lstm_layers else []
        encoder += [*lstm, nn.ELU(), PaddedConv(width, dim, last_kernel, **padding)]
        decoder: list[nn.Module] = [PaddedConv(dim, width, kernel, **padding)]
        decoder += [SkipLSTM(width, n_lstm_layers)] if n_lstm_layers else []
        for ratio in ratios:
            up = TrimmedTransposedConv(width, width // 2, ratio, is_causal=is_causal, trim_right_ratio=trim_right_ratio)
            width //= 2
            decoder += [nn.ELU(), up, *residuals(width)]
        decoder += [nn.ELU(), PaddedConv(width, channels, last_kernel, **padding)]
        self.encoder, self.decoder = LayerStack(encoder), LayerStack(decoder)
        self.quantizer = LayerStack([CodebookLayer(codebook_size, dim) for _ in range(n_codebooks)])
        self.spec = CodecSpec(
            "encodec", sample_rate, math.prod(ratios), (codebook_size,) * n_codebooks, channels, is_causal=False
        )

    def init_state(self, batch: int) -> CodecState:
        """Raises `NotSupported`: a frame depends on later ones."""
        raise NotSupported("EnCodec is not causal and keeps no streaming state. Encode and decode whole signals.")

    def encode(self, audio: Tensor, state: CodecState | None = None, n_codebooks: int | None = None) -> Codes:
        """Encodes audio [B, C, N] as codes [B, K, ceil(N / hop)]. Raises `BadAudio`, `BadCodes`."""
        if state is not None:
            self.init_state(audio.shape[0])
        self.check_audio(audio)
        return Codes(self.encode_frames(audio, None, self.check_codebooks(n_codebooks)), self.spec.name)

    def encode_frames(self, audio: Tensor, state: Any, n_codebooks: int) -> Tensor:
        left = self.encoder(audio).transpose(1, 2)
        indices = []
        for table in self._tables()[:n_codebooks]:
            # |x|^2 is equal for all entries and left out.
            index = (left @ table.T * 2 - table.square().sum(1)).argmax(-1)
            left = left - table[index]
            indices.append(index)
        return torch.stack(indices, 1)

    def decode_frames(self, indices: Tensor, state: Any) -> Tensor:
        tables = self._tables()
        latent = torch.stack([tables[k][codes] for k, codes in enumerate(indices.unbind(1))]).sum(0)
        return self.decoder(latent.transpose(1, 2))

    def _tables(self) -> list[Tensor]:
        return [layer.codebook.embed for layer in self.quantizer.layers]
