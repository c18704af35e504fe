"""The codec interface, and the streaming state that all codecs share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from backend.codes import CodecSpec, Codes
from backend.errors import BadAudio, BadCodes, CodebookMismatch, NotAvailable
from backend.nn.state import zero_rows


@dataclass(slots=True)
class CodecState:
    """State of a batch of streams. `pending` [B, C, hop] holds the samples of an incomplete frame.

    Encoding and decoding have separate states, so one object can serve a full round trip.
    """

    encoder: Any
    decoder: Any
    pending: Tensor
    n_pending: int = field(default=0)

    def reset(self, rows: Tensor | None = None) -> None:
        """Resets every row, or only those where the boolean `rows` [B] is true.

        Rows share their position within a frame, so a single row restarts with silence as its pending samples.
        """
        zero_rows((self.encoder, self.decoder, self.pending), rows)
        if rows is None:
            self.n_pending = 0


class Reconstruction(NamedTuple):
    """A codec's output in a training step."""

    audio: Tensor  # [B, C, N], delayed by spec.latency_samples
    latent: Tensor  # [B, D, T], before quantization
    indices: Tensor | None  # [B, K, T]; None without quantization
    commitment: Tensor  # scalar; pulls latents to their codes
    codebook: Tensor  # scalar; pulls codes to the latents (0 for codebooks updated by moving averages)


class Codec(Protocol):
    """The interface of every codec."""

    @property
    def spec(self) -> CodecSpec: ...

    def init_state(self, batch: int) -> CodecState: ...

    def encode(self, audio: Tensor, state: CodecState | None = None, n_codebooks: int | None = None) -> Codes: ...

    def decode(self, codes: Codes, state: CodecState | None = None) -> Tensor: ...


class CausalCodec(nn.Module):
    """A frame-by-frame codec: validates inputs and buffers incomplete frames; subclasses implement the model.

    Subclasses set `spec` and implement `encoder_state`, `decoder_state`, `encode_frames` and `decode_frames`.
    """

    spec: CodecSpec
    # Child modules whose weights define the codes. With these set, training the decoder further keeps existing codes
    # valid. Empty: all weights count.
    code_parts: tuple[str, ...] = ()

    def encoder_state(self, batch: int) -> Any:
        raise NotImplementedError

    def decoder_state(self, batch: int) -> Any:
        raise NotImplementedError

    def encode_frames(self, audio: Tensor, state: Any, n_codebooks: int) -> Tensor:
        """Encodes whole frames [B, C, T * hop] as indices [B, K, T]; `state` None starts a new stream."""
        raise NotImplementedError

    def decode_frames(self, indices: Tensor, state: Any) -> Tensor:
        """Decodes indices [B, K, T] to samples [B, C, T * hop]; `state` None starts a new stream."""
        raise NotImplementedError

    def reconstruct(
        self, audio: Tensor, n_codebooks: Tensor | None = None, is_quantized: bool = True
    ) -> Reconstruction:
        """Runs the differentiable round trip of audio [B, C, T * hop].

        `n_codebooks` [B] keeps that many codebooks per item (quantizer dropout); `is_quantized=False` bypasses the
        codebooks, for warm-up.
        """
        raise NotImplementedError

    def init_from(self, audio: Tensor) -> None:
        """Start from the statistics of audio [B, C, T * hop]; codecs that learn all by gradients do nothing."""

    @torch.no_grad()
    def place_codebooks(self, batches: Iterable[Tensor]) -> None:
        """Put the codes of every stage among the latents of these batches of audio [B, C, T * hop], by k-means."""
        latents = [self.reconstruct(audio, is_quantized=False).latent for audio in batches]
        rows = torch.cat([latent.transpose(1, 2).flatten(0, 1) for latent in latents])
        self.quantizer.init_from(rows.T[None])

    @property
    def has_pitch_control(self) -> bool:
        """Whether `set_pitch` works: the decoder knows F0 and can move it."""
        return False

    def set_pitch(self, state: CodecState, semitones: float) -> None:
        """Decode what follows in `state` higher by `semitones`, -12...12, at the same speed and timbre.

        Raises `NotAvailable` for a codec without a pitch control.
        """
        raise NotAvailable(f"Codec '{self.spec.name}' cannot move pitch; its decoder predicts no F0. Leave pitch out.")

    @property
    def algorithmic_latency_samples(self) -> int:
        """Latency from an input sample to its output: one frame plus the declared latency."""
        return self.spec.hop_samples + self.spec.latency_samples

    def init_state(self, batch: int) -> CodecState:
        """Allocates the state of `batch` parallel streams, with the device and dtype of the weights."""
        weight = next(self.parameters())
        pending = weight.new_zeros(batch, self.spec.channels, self.spec.hop_samples)
        return CodecState(self.encoder_state(batch), self.decoder_state(batch), pending)

    def encode(self, audio: Tensor, state: CodecState | None = None, n_codebooks: int | None = None) -> Codes:
        """Encodes audio [B, C, N] in -1...1 as codes [B, K, T].

        Without a state the last incomplete frame is padded with silence: T = ceil(N / hop). With a state only complete
        frames are returned and the rest is buffered; `finish` flushes it. Raises `BadAudio` for a wrong shape and
        `BadCodes` for an unsupported `n_codebooks`.
        """
        n_codebooks = self.check_codebooks(n_codebooks)
        self.check_audio(audio)
        hop = self.spec.hop_samples
        if state is None:
            audio = nn.functional.pad(audio, (0, -audio.shape[2] % hop))
        else:
            audio = self._take_whole_frames(audio, state)
        if not audio.shape[2]:
            empty = torch.zeros(audio.shape[0], n_codebooks, 0, dtype=torch.long, device=audio.device)
            return Codes(empty, self.spec.name)
        return Codes(self.encode_frames(audio, None if state is None else state.encoder, n_codebooks), self.spec.name)

    def finish(self, state: CodecState, n_codebooks: int | None = None) -> Codes:
        """Ends an encoding stream: returns the codes of the last incomplete frame, padded with silence, or none."""
        missing = -state.n_pending % self.spec.hop_samples
        silence = state.pending.new_zeros(state.pending.shape[0], self.spec.channels, missing)
        return self.encode(silence, state, n_codebooks)

    def decode(self, codes: Codes, state: CodecState | None = None) -> Tensor:
        """Decodes codes [B, K, T] to samples [B, C, T * hop] in -1...1, continuing from `state` if given.

        K may be smaller than the codec's, which gives the coarser audio of the first K codebooks. Raises
        `CodebookMismatch` for too many codebooks and `BadCodes` for codes of another codec.
        """
        if codes.codec != self.spec.name:
            raise BadCodes(
                f"Codes were made by '{codes.codec}'; this codec is '{self.spec.name}'. Encode again with it."
            )
        if codes.n_codebooks > self.spec.n_codebooks:
            raise CodebookMismatch(
                f"Codes have {codes.n_codebooks} codebooks; codec '{self.spec.name}' has {self.spec.n_codebooks}. "
                f"Encode again with this codec, or drop codebooks with codes.first({self.spec.n_codebooks})."
            )
        if codes.n_frames == 0:
            weight = next(self.parameters())
            return weight.new_zeros(codes.indices.shape[0], self.spec.channels, 0)
        return self.decode_frames(codes.indices, None if state is None else state.decoder)

    def _take_whole_frames(self, audio: Tensor, state: CodecState) -> Tensor:
        """Returns the pending samples and `audio` up to the last frame boundary; the rest becomes pending."""
        if state.n_pending:
            audio = torch.cat([state.pending[:, :, : state.n_pending], audio], dim=2)
        whole = audio.shape[2] // self.spec.hop_samples * self.spec.hop_samples
        state.n_pending = audio.shape[2] - whole
        state.pending[:, :, : state.n_pending] = audio[:, :, whole:]
        return audio[:, :, :whole]

    def check_audio(self, audio: Tensor) -> None:
        if audio.dim() != 3 or audio.shape[1] != self.spec.channels:
            raise BadAudio(
                f"Audio has shape {tuple(audio.shape)}; codec '{self.spec.name}' expects [B, {self.spec.channels}, N]. "
                "Mix down or add the missing dimension first."
            )

    def check_codebooks(self, n_codebooks: int | None) -> int:
        if n_codebooks is None:
            return self.spec.n_codebooks
        if not 1 <= n_codebooks <= self.spec.n_codebooks:
            raise BadCodes(
                f"n_codebooks is {n_codebooks}; codec '{self.spec.name}' supports 1 to {self.spec.n_codebooks}. Choose one of these."
            )
        return n_codebooks
