"""`spectral`: a small causal speech codec on short-time spectra.

Spectral frames (hann 960, hop 240 at 24 kHz: 100 Hz) -> residual blocks -> one latent every `stride` frames -> residual
vector quantizer -> residual blocks -> magnitude and phase -> overlap-add. Everything above 100 Hz is a Fourier
transform, so one core runs it tens of times faster than real time. The synthesis overlap delays the audio by n_fft -
hop samples; the decoder is trained against the input with that delay, otherwise it would have to predict 30 ms of
future.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from torch import Tensor

from backend.codec.base import CausalCodec, CodecState, Reconstruction
from backend.codec.harmonic_decoder import HarmonicDecoder, HarmonicState
from backend.codec.spectral_layers import DecoderState, EncoderState, SpectralDecoder, SpectralEncoder
from backend.codec.vq.residual import EMAQuantizer, ResidualVQ
from backend.codes import CodecSpec, Codes
from backend.errors import BadCodes, NotAvailable

MAX_SEMITONES = 12.0


class F0Track(NamedTuple):
    """Every hop of the spectra, [B, T * stride]; frame t is centered n_fft / 2 - hop before the end of its hop."""

    f0_hz: Tensor  # also where unvoiced: what the pitch would be
    voicing: Tensor  # probability of being voiced


class SpectralCodec(CausalCodec):
    """24 kHz mono speech at 25 frames per second and 8 x 10 bits per frame: 2 kbps, 70 ms latency."""

    code_parts = ("encoder", "quantizer")

    def __init__(
        self, sample_rate: int = 24000, n_fft: int = 960, hop_samples: int = 240, stride: int = 4,
        encoder_dims: Sequence[int] = (192, 256), encoder_depths: Sequence[int] = (3, 2),
        decoder_dims: Sequence[int] = (256, 224), decoder_depths: Sequence[int] = (2, 6),
        latent_dim: int = 32, n_codebooks: int = 8, codebook_size: int = 1024,
        source: Literal["none", "harmonic"] = "none", noise_band_hz: Sequence[float] | None = None,
    ):  # fmt: skip
        super().__init__()
        self.config = {
            "sample_rate": sample_rate, "n_fft": n_fft, "hop_samples": hop_samples, "stride": stride,
            "encoder_dims": list(encoder_dims), "encoder_depths": list(encoder_depths),
            "decoder_dims": list(decoder_dims), "decoder_depths": list(decoder_depths),
            "latent_dim": latent_dim, "n_codebooks": n_codebooks, "codebook_size": codebook_size,
        }  # fmt: skip
        if source == "harmonic":
            self.config |= {"source": source, "noise_band_hz": None if noise_band_hz is None else list(noise_band_hz)}
        elif source != "none" or noise_band_hz is not None:
            raise ValueError(f"source '{source}' with noise_band_hz {noise_band_hz}; noise needs source 'harmonic'")
        self.encoder = SpectralEncoder(n_fft, hop_samples, encoder_dims, encoder_depths, stride, latent_dim)
        self.quantizer = ResidualVQ(
            [EMAQuantizer(latent_dim, codebook_size, seed=stage) for stage in range(n_codebooks)]
        )
        layers = (n_fft, hop_samples, decoder_dims, decoder_depths, stride, latent_dim)
        self.decoder: SpectralDecoder = (
            SpectralDecoder(*layers) if source == "none" else HarmonicDecoder(*layers, sample_rate, noise_band_hz)
        )
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

    @property
    def has_pitch_control(self) -> bool:
        return isinstance(self.decoder, HarmonicDecoder)

    def set_pitch(self, state: CodecState, semitones: float) -> None:
        if not isinstance(state.decoder, HarmonicState):
            return super().set_pitch(state, semitones)
        if not abs(semitones) <= MAX_SEMITONES:
            raise BadCodes(f"Got a pitch of {semitones:g} semitones; expected -{MAX_SEMITONES:g} to {MAX_SEMITONES:g}.")
        state.decoder.semitones.fill_(semitones)
        state.decoder.is_shifted = semitones != 0

    def f0(self, codes: Codes) -> F0Track:
        """F0 and voicing of codes [B, K, T], for every spectral frame. Raises `NotAvailable` without a harmonic source."""
        if not isinstance(self.decoder, HarmonicDecoder):
            raise NotAvailable(
                f"This '{self.spec.name}' codec has no harmonic source and so predicts no F0. Measure its sound instead."
            )
        latent = self.quantizer.decode(codes.indices).transpose(1, 2)
        frames = self.decoder.f0_network(self.decoder.latent_windows(latent, None))
        return F0Track(frames.log2_f0.exp2().float(), frames.voicing.sigmoid().float())

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
