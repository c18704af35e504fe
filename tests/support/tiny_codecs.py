"""A minimal causal codec, for tests of code that uses codecs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from backend.codec.base import CausalCodec
from backend.codes import CodecSpec
from backend.nn.conv import CausalConv1d, CausalConvTranspose1d

REGISTERED = "tests.support.tiny_codecs.TinyCodec"


class TinyCodec(CausalCodec):
    """One convolution, residual nearest neighbors, one transposed convolution, with a latency of `lag` samples."""

    def __init__(self, hop: int = 16, n_codebooks: int = 3, codebook_size: int = 10, rate_hz: int = 8000, lag: int = 0):
        super().__init__()
        self.config = {
            "hop": hop, "n_codebooks": n_codebooks, "codebook_size": codebook_size, "rate_hz": rate_hz, "lag": lag
        }  # fmt: skip
        self.spec = CodecSpec("tiny", rate_hz, hop, (codebook_size,) * n_codebooks, latency_samples=lag)
        self.analysis = CausalConv1d(1, 4, 2 * hop, stride=hop)
        self.synthesis = CausalConvTranspose1d(4, 1, 2 * hop, stride=hop)
        self.codebooks = torch.nn.Parameter(torch.randn(n_codebooks, codebook_size, 4))

    def encoder_state(self, batch: int) -> Any:
        return self.analysis.init_state(batch)

    def decoder_state(self, batch: int) -> Any:
        return self.synthesis.init_state(batch)

    def encode_frames(self, audio: Tensor, state: Any, n_codebooks: int) -> Tensor:
        residual = self.analysis(audio, state).transpose(1, 2)
        rows = []
        for codebook in self.codebooks[:n_codebooks]:
            indices = torch.cdist(residual, codebook[None]).argmin(2)
            residual = residual - codebook[indices]
            rows.append(indices)
        return torch.stack(rows, 1)

    def decode_frames(self, indices: Tensor, state: Any) -> Tensor:
        chosen = [self.codebooks[row][indices[:, row]] for row in range(indices.shape[1])]
        return torch.tanh(self.synthesis(torch.stack(chosen).sum(0).transpose(1, 2), state))
