"""`Codes` and `CodecSpec`: the values exchanged by codecs, language models and file formats."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2
from typing import TYPE_CHECKING

from backend.errors import BadCodes

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class CodecSpec:
    """Public properties of a codec.

    One frame of codes represents `hop_samples` samples. Decoded audio lags the input by `latency_samples`: input
    sample n is output sample n + latency_samples.
    """

    name: str
    sample_rate_hz: int
    hop_samples: int
    codebook_sizes: tuple[int, ...]
    channels: int = 1
    is_causal: bool = True
    latency_samples: int = 0

    @property
    def n_codebooks(self) -> int:
        return len(self.codebook_sizes)

    @property
    def codebook_size(self) -> int:
        """Size of the largest codebook."""
        return max(self.codebook_sizes)

    @property
    def frame_rate_hz(self) -> float:
        return self.sample_rate_hz / self.hop_samples

    def code_bits(self, n_codebooks: int | None = None) -> tuple[int, ...]:
        """Return the bits of one packed code, for each of the first `n_codebooks` codebooks."""
        return tuple(ceil(log2(size)) for size in self.codebook_sizes[:n_codebooks])

    def bitrate_kbps(self, n_codebooks: int | None = None) -> float:
        """Return the nominal bitrate of the packed codes, without a container."""
        return sum(self.code_bits(n_codebooks)) * self.frame_rate_hz / 1000


@dataclass(frozen=True, slots=True)
class Codes:
    """Discrete audio: `indices` [B, K, T] (int64) of the codec named `codec`."""

    indices: Tensor
    codec: str

    def __post_init__(self) -> None:
        if self.indices.dim() != 3:
            raise BadCodes(f"Codes have shape {tuple(self.indices.shape)}; expected [B, K, T].")

    @property
    def n_codebooks(self) -> int:
        return self.indices.shape[1]

    @property
    def n_frames(self) -> int:
        return self.indices.shape[2]

    def first(self, n_codebooks: int) -> Codes:
        """Return only the first `n_codebooks` codebooks: the same audio at a lower bitrate."""
        if not 1 <= n_codebooks <= self.n_codebooks:
            raise BadCodes(f"Asked for {n_codebooks} codebooks; these codes have 1 to {self.n_codebooks}.")
        return Codes(self.indices[:, :n_codebooks], self.codec)
