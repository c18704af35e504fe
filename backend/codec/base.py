"""What every codec offers, and the streaming bookkeeping they share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from backend.codes import CodecSpec, Codes
from backend.errors import BadAudio, BadCodes, CodebookMismatch, NotAvailable
from backend.nn.state import zero_rows


@dataclass(slots=True)
class CodecState:
    """One batch of streams. `pending` [B, C, hop] holds the samples of an unfinished frame.

    Encoding and decoding carry separate states, so one object may serve a full round trip.
    """

    encoder: Any
    decoder: Any
    pending: Tensor
    n_pending: int = field(default=0)

    def reset(self, rows: Tensor | None = None) -> None:
        """Start again: every row, or only the rows where the boolean `rows` [B] is true.

        Rows share their place inside a frame, so a single row restarts with the pending samples as silence.
        """
        zero_rows((self.encoder, self.decoder, self.pending), rows)
        if rows is None:
            self.n_pending = 0


class Reconstruction(NamedTuple):
    """What a training step needs from a codec."""

    audio: Tensor  # [B, C, N], lagging the input by spec.latency_samples
    latent: Tensor  # [B, D, T], before quantisation
    indices: Tensor | None  # [B, K, T]; None when quantisation was off
    commitment: Tensor  # scalar; pulls latents to their codes
    codebook: Tensor  # scalar; pulls codes to the latents (0 for codebooks updated by moving averages)


class Codec(Protocol):
    """The seam every codec is used through."""

    @property
    def spec(self) -> CodecSpec: ...

    def init_state(self, batch: int) -> CodecState: ...

    def encode(self, audio: Tensor, state: CodecState | None = None, n_codebooks: int | None = None) -> Codes: ...

    def decode(self, codes: Codes, state: CodecState | None = None) -> Tensor: ...


class CausalCodec(nn.Module):
    """A codec that works frame by frame: checks inputs, keeps unfinished frames, leaves the maths to subclasses.

    Subclasses set `spec` and write `encoder_state`, `decoder_state`, `encode_frames` and `decode_frames`.
    """

    spec: CodecSpec
    # The children whose weights decide what codes mean. A codec that names them can go on training its decoder:
    # codes made before stay valid, and only sound better. Empty: all weights count.
    code_parts: tuple[str, ...] = ()

    def encoder_state(self, batch: int) -> Any:
        raise NotImplementedError

    def decoder_state(self, batch: int) -> Any:
        raise NotImplementedError

    def encode_frames(self, audio: Tensor, state: Any, n_codebooks: int) -> Tensor:
        """Whole frames [B, C, T * hop] to indices [B, K, T]; `state` None means from the start."""
        raise NotImplementedError

    def decode_frames(self, indices: Tensor, state: Any) -> Tensor:
        """Indices [B, K, T] to samples [B, C, T * hop]; `state` None means from the start."""
        raise NotImplementedError

    def reconstruct(
        self, audio: Tensor, n_codebooks: Tensor | None = None, is_quantized: bool = True
    ) -> Reconstruction:
        """The differentiable round trip of audio [B, C, T * hop].

        `n_codebooks` [B] keeps that many codebooks per item (quantiser dropout); `is_quantized=False`
        skips the codebooks altogether, for warm-up.
        """
        raise NotImplementedError

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
        """How long after an input sample arrives its sound can come out: one frame plus the declared lag."""
        return self.spec.hop_samples + self.spec.latency_samples

    def init_state(self, batch: int) -> CodecState:
        """Fresh state for `batch` parallel streams, on the device and in the precision of the weights."""
        weight = next(self.parameters())
        pending = weight.new_zeros(batch, self.spec.channels, self.spec.hop_samples)
        return CodecState(self.encoder_state(batch), self.decoder_state(batch), pending)

    def encode(self, audio: Tensor, state: CodecState | None = None, n_codebooks: int | None = None) -> Codes:
        """Turn audio [B, C, N] in -1...1 into codes [B, K, T].

        Without a state the last partial frame is completed with silence: T = ceil(N / hop). With a
        state, only complete frames come out and the rest waits; `finish` completes it.
        Raises `BadAudio` for a wrong shape and `BadCodes` for a `n_codebooks` the codec does not have.
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
        """End an encoding stream: the codes of the last partial frame, completed with silence, or none."""
        missing = -state.n_pending % self.spec.hop_samples
        silence = state.pending.new_zeros(state.pending.shape[0], self.spec.channels, missing)
        return self.encode(silence, state, n_codebooks)

    def decode(self, codes: Codes, state: CodecState | None = None) -> Tensor:
        """Turn codes [B, K, T] into samples [B, C, T * hop] in -1...1, continuing from `state` if given.

        K may be smaller than the codec's: the sound is then the coarser one of the first K codebooks.
        Raises `CodebookMismatch` for too many codebooks and `BadCodes` for codes of another codec.
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
        """The pending samples and `audio` up to the last frame border; the rest becomes pending."""
        if state.n_pending:
            audio = torch.cat([state.pending[:, :, : state.n_pending], audio], dim=2)
        whole = audio.shape[2] // self.spec.hop_samples * self.spec.hop_samples
        state.n_pending = audio.shape[2] - whole
        state.pending[:, :, : state.n_pending] = audio[:, :, whole:]
        return audio[:, :, :whole]

    def check_audio(self, audio: Tensor) -> None:
        if audio.dim() != 3 or audio.shape[1] != self.spec.channels:
            raise BadAudio(
                f"Audio has shape {tuple(audio.shape)}; codec '{self.spec.name}' takes [B, {self.spec.channels}, N]. "
                "Mix down or add the missing dimension first."
            )

    def check_codebooks(self, n_codebooks: int | None) -> int:
        if n_codebooks is None:
            return self.spec.n_codebooks
        if not 1 <= n_codebooks <= self.spec.n_codebooks:
            raise BadCodes(
                f"Asked for {n_codebooks} codebooks; codec '{self.spec.name}' has 1 to {self.spec.n_codebooks}."
            )
        return n_codebooks
