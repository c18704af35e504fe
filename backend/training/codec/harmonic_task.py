"""Train the harmonic decoder of a `spectral` codec whose encoder and codebooks stay as they are."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.codec.f0_network import bin_log2_hz
from backend.codec.harmonic_decoder import HarmonicDecoder
from backend.codec.spectral import SpectralCodec
from backend.codec.vq.residual import dropout_rows
from backend.data.augment import Augmentation
from backend.data.f0_tracks import PitchedSampler
from backend.errors import BadSettings
from backend.training.codec.harmonic_pass import HarmonicOutput, HarmonicPass, true_slope
from backend.training.codec.losses import SpectralLoss
from backend.training.codec.task import CodecTrainTask
from backend.training.loop.guards import guarded_step

FROZEN = ("encoder", "quantizer")
MIN_MAGNITUDE = 1e-6


class HarmonicTrainTask(CodecTrainTask):
    """A codec task whose segments come with their F0, and whose losses know the phase of the source."""

    codec: SpectralCodec

    def __init__(self, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        assert self.recipe.harmonic is not None, "the recipe has no block 'harmonic'"
        self.block = self.recipe.harmonic
        if not isinstance(getattr(self.codec, "decoder", None), HarmonicDecoder):
            raise BadSettings(
                f"Codec '{self.spec.name}' has no harmonic decoder. Give codec.config.source=harmonic, or leave "
                "'harmonic' out of the settings."
            )
        if self.recipe.init is None:
            raise BadSettings("A harmonic decoder learns from fixed codes. Give init=CODEC_FOLDER.")
        loss = self.recipe.loss
        self.spectral_loss = SpectralLoss(
            self.spec.sample_rate_hz, loss.mel_windows, loss.mel_bins, (), loss.floor, self.block.bin_windows
        ).to(self.device)

    def start_phase(self, name: str, seed: int, is_fresh: bool) -> None:
        super().start_phase(name, seed, is_fresh)
        missing = [part for part in FROZEN if part not in self.phase.freeze]
        if missing:
            raise BadSettings(f"{name}.freeze lacks {missing}; a harmonic decoder learns from fixed codes.")
        sampler = PitchedSampler(
            self.sampler.clips, self.sampler.n_samples, self.sampler.batch, seed,
            Augmentation(**self.recipe.data.augment.model_dump(), rate_hz=self.spec.sample_rate_hz),
        )  # fmt: skip
        stft = self.codec.encoder.stft
        sampler.follow(self.spec.sample_rate_hz, stft.hop_samples, stft.n_fft)
        self.sampler: PitchedSampler = sampler
        # The moving average holds plain copies; only the pass itself is wrapped for several devices.
        self._pass = self.fabric.setup_module(HarmonicPass(self.codec, self.block))

    def train_step(self, phase_step: int, is_detailed: bool = False) -> dict[str, Tensor]:
        audio, f0_hz = (torch.from_numpy(a).to(self.device) for a in self.sampler.next_pitched_batch())
        return self.pitched_step(audio, f0_hz, phase_step, is_detailed)

    def pitched_step(
        self, audio: Tensor, f0_hz: Tensor, phase_step: int, is_detailed: bool = False
    ) -> dict[str, Tensor]:
        """Learn from audio [B, 1, N] with F0 [B, T] in Hz, 0 where unvoiced; returns scalars to average."""
        batch = audio.shape[0]
        counts = dropout_rows(batch, self.spec.n_codebooks, self.recipe.quantizer_dropout, self._rng).to(self.device)
        uses_true = (torch.rand(batch, generator=self._rng) < self.block.true_f0_share).to(self.device)
        out: HarmonicOutput = self._pass(audio, counts, f0_hz, uses_true)
        self._remember(out.latent, out.indices)
        lag, skipped = self.spec.latency_samples, round(self.block.skip_s * self.spec.sample_rate_hz)
        fake, real = out.audio[:, :, lag + skipped :], audio[:, :, skipped : audio.shape[2] - lag]
        values: dict[str, Tensor] = {}
        judged = self._crop(real, fake) if self.is_adversarial else None
        if judged is not None:
            values |= self.discriminator_step(*judged)
        distance = self.spectral_loss(fake, real)
        losses = {"mel": distance.mel, "loudness": distance.loudness}
        if judged is not None and phase_step >= self.recipe.discriminator.head_start_steps:
            losses |= self._adversarial_losses(*judged)
        beside = {"spectrum": distance.spectrum, "compressed": distance.compressed}
        beside |= frame_losses(out, f0_hz, first=skipped // self.codec.encoder.stft.hop_samples)
        total = self.balancer.total(losses, fake) + sum(getattr(self.block, name) * x for name, x in beside.items())
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(total)
        norm, was_skipped = guarded_step(self.optimizer, self.trained, self.phase.optimizer.clip)
        self.average.update(phase_step)
        weights = self.recipe.loss
        recon = weights.mel * distance.mel + weights.loudness * distance.loudness
        return values | losses | beside | {
            "recon": recon, "loss": total, "gradient_norm": norm, "skipped": was_skipped
        }  # fmt: skip


def frame_losses(out: HarmonicOutput, f0_hz: Tensor, first: int) -> dict[str, Tensor]:
    """The losses of F0, voicing, slope and phase over the frames from `first` on."""
    f0_hz, frames = f0_hz[:, first:], out.f0
    is_voiced = f0_hz > 0
    n_voiced = is_voiced.sum().clamp_min(1)
    targets = bin_targets(f0_hz.clamp_min(1.0).log2())
    entropy = -(targets * frames.logits[:, first:].float().log_softmax(dim=-1)).sum(dim=-1)
    slope, is_known = true_slope(f0_hz)
    wanted = out.spectra[:, first:]
    magnitude = wanted.abs()
    cosine = (out.harmonic[:, first:] * wanted.conj()).real / magnitude.clamp_min(MIN_MAGNITUDE)
    weight = magnitude.sqrt() * is_voiced[..., None]
    return {
        "f0": (entropy * is_voiced).sum() / n_voiced,
        "voicing": F.binary_cross_entropy_with_logits(frames.voicing[:, first:].float(), is_voiced.float()),
        "slope": ((frames.slope[:, first:] - slope).abs() * is_known).sum() / is_known.sum().clamp_min(1),
        "pulse_phase": (weight * (1 - cosine)).sum() / weight.sum().clamp_min(MIN_MAGNITUDE),
    }


def bin_targets(log2_hz: Tensor) -> Tensor:
    """Distributions [..., N_BINS] around log2 F0 [...], about a bin wide."""
    bins = bin_log2_hz(log2_hz.device)
    distance = (log2_hz[..., None] - bins) / (bins[1] - bins[0])
    return (-0.5 * distance.square()).softmax(dim=-1)
