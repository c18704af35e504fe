"""The codec training task: round trip, losses, adversarial training, codebooks, optimizers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import torch
from lightning.fabric import Fabric
from torch import Tensor

from backend.codec.base import CausalCodec
from backend.codec.vq.residual import codebook_usage, dropout_rows, effective_dimension
from backend.data.audio_cache import CachedClip
from backend.data.segments import SegmentSampler
from backend.errors import BadSettings
from backend.training.codec.adversarial import adversarial_loss, discriminator_loss, feature_loss, right_share
from backend.training.codec.balancer import Balancer
from backend.training.codec.config import CodecConfig, WaveformLoss
from backend.training.codec.dataset import build_sampler
from backend.training.codec.discriminators import Discriminators
from backend.training.codec.losses import SpectralLoss
from backend.training.codec.music_losses import ChromaLoss, OnsetLoss
from backend.training.codec.validation import validate_codec
from backend.training.loop.ema import ExponentialMovingAverage
from backend.training.loop.guards import CollapseGuard, PlateauDetector, guarded_step
from backend.training.loop.optimizer import build_optimizer, follow_schedule
from backend.training.loop.ring_buffer import RingBuffer

N_RECENT_CODES = 16384
N_RECENT_LATENTS = 4096


class CodecTrainTask:
    """A codec with its training state. Call `start_phase`, then `train_step`."""

    watched = "recon"

    def __init__(
        self, recipe: CodecConfig, codec: CausalCodec, fabric: Fabric, learned: Sequence[CachedClip] = (),
        validation_clips: Sequence[CachedClip] = (),
    ):  # fmt: skip
        self.recipe, self.fabric = recipe, fabric
        self.learned, self.validation_clips = list(learned), list(validation_clips)
        self.codec = codec.to(fabric.device)
        self.spec = codec.spec
        self.average = ExponentialMovingAverage(self.codec, recipe.average_decay)
        if fabric.world_size > 1:
            self._share_codebooks()
        loss = recipe.loss
        uses_complex = loss.complex or any(
            p.weights.get("complex") for p in (recipe.recon, recipe.adversarial) if p.steps
        )
        self.spectral_loss = SpectralLoss(
            self.spec.sample_rate_hz, loss.mel_windows, loss.mel_bins, loss.complex_windows if uses_complex else (),
            loss.floor,
        ).to(fabric.device)  # fmt: skip
        self.music_losses = {"chroma": ChromaLoss(self.spec.sample_rate_hz), "onset": OnsetLoss()}
        self.is_quantized = recipe.init is not None
        self.collapse = CollapseGuard(recipe.guard.min_perplexity_ratio, recipe.guard.collapse_patience)
        self.plateau = PlateauDetector(recipe.warmup.min_growth, recipe.warmup.patience)
        self.codes, self.latents = RingBuffer(N_RECENT_CODES), RingBuffer(N_RECENT_LATENTS)
        self._rng = torch.Generator().manual_seed(recipe.seed)
        self.discriminators: Discriminators | None = None

    @property
    def device(self) -> torch.device:
        return self.fabric.device

    def start_phase(self, name: str, seed: int, is_fresh: bool) -> None:
        """Prepares a phase: freezes modules, builds optimizers, discriminators and the segment sampler.

        A phase that is not fresh continues from the state that `restore` loads.
        """
        is_adversarial = name == "adversarial"
        if is_adversarial and is_fresh:
            self.adopt_average()
        self.phase_name, self.is_adversarial = name, is_adversarial
        self.phase = phase = self.recipe.adversarial if is_adversarial else self.recipe.recon
        self.sampler = build_sampler(self.learned, self.recipe.data, phase, self.spec, seed)
        weights = {name: getattr(self.recipe.loss, name) for name in get_args(WaveformLoss)}
        self.balancer = Balancer(weights | phase.weights, phase.is_balanced)
        self.codec.requires_grad_(True).train()
        for name in phase.freeze:
            part = getattr(self.codec, name, None)
            if not isinstance(part, torch.nn.Module):
                parts = ", ".join(name for name, _ in self.codec.named_children())
                raise BadSettings(
                    f"Cannot freeze '{name}': codec '{self.spec.name}' has the modules {parts}. Choose from these."
                )
            part.requires_grad_(False).eval()
        self.trained = [weight for weight in self.codec.parameters() if weight.requires_grad]
        self.optimizer = build_optimizer(self.trained, phase.optimizer)
        self._wrapped = self.fabric.setup_module(self.codec)
        self._wrapped.mark_forward_method("reconstruct")
        if is_adversarial:
            block = self.recipe.discriminator
            self.discriminators = Discriminators(
                self.spec.channels, block.channels, block.stft_windows, block.n_wave_scales
            ).to(self.device)
            self.discriminator_optimizer = build_optimizer(list(self.discriminators.parameters()), block.optimizer)
            self._wrapped_discriminators = self.fabric.setup_module(self.discriminators)
            if is_fresh and not self.is_quantized:
                self._quantize()
        elif is_fresh and self.recipe.init is None:
            self._init_codec()

    def set_lr(self, phase_step: int, scale: float) -> float:
        """Applies the schedule at a step of the phase; returns the codec's learning rate."""
        steps = self.phase.steps
        if self.is_adversarial:
            follow_schedule(self.discriminator_optimizer, self.recipe.discriminator.optimizer, phase_step, steps, scale)
        return follow_schedule(self.optimizer, self.phase.optimizer, phase_step, steps, scale)

    def reseed(self, seed: int) -> None:
        """Continues with other segments."""
        self.sampler.reseed(seed)

    def train_step(self, phase_step: int, is_detailed: bool = False) -> dict[str, Tensor]:
        """Trains on the next batch of segments."""
        audio = torch.from_numpy(self.sampler.next_batch()).to(self.device, non_blocking=True)
        return self.step(audio, phase_step, is_detailed)

    def step(self, audio: Tensor, phase_step: int, is_detailed: bool = False) -> dict[str, Tensor]:
        """Trains on audio [B, C, N]; returns scalars to average. `is_detailed` adds the gradient shares."""
        counts = None
        if self.is_quantized:
            counts = dropout_rows(audio.shape[0], self.spec.n_codebooks, self.recipe.quantizer_dropout, self._rng).to(
                self.device
            )
        out = self._wrapped.reconstruct(audio, counts, self.is_quantized)
        # Compensate the codec's declared latency.
        lag = self.spec.latency_samples
        fake, real = out.audio[:, :, lag:], audio[:, :, : audio.shape[2] - lag]
        self._remember(out.latent, out.indices)
        values: dict[str, Tensor] = {}
        judged = self._crop(real, fake) if self.is_adversarial else None
        if judged is not None:
            values |= self.discriminator_step(*judged)
        losses = self._losses(real, fake)
        if judged is not None and phase_step >= self.recipe.discriminator.head_start_steps:
            losses |= self._adversarial_losses(*judged)
        weights = self.recipe.loss
        if is_detailed:
            values |= {f"share_{name}": share for name, share in self.balancer.shares(losses, fake).items()}
        total = self.balancer.total(losses, fake)
        if self.is_quantized and "encoder" not in self.phase.freeze:
            total = total + weights.commitment * out.commitment + weights.codebook * out.codebook
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(total)
        norm, skipped = guarded_step(self.optimizer, self.trained, self.phase.optimizer.clip)
        self.average.update(phase_step)
        recon = sum(
            getattr(weights, name) * losses[name]
            for name in ("mel", "loudness", "complex", "multiscale")
            if name in losses
        )
        values |= losses | {"recon": recon, "loss": total, "gradient_norm": norm, "skipped": skipped}
        if out.indices is not None:
            values["commitment"] = out.commitment
        return values

    def discriminator_step(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Trains the discriminators on detached codec audio, so the codec gets no gradient."""
        assert self.discriminators is not None, "not in the adversarial phase"
        block = self.recipe.discriminator
        self.discriminators.requires_grad_(True)
        # One pass over both halves: a multi-device wrapper allows one forward per backward.
        verdicts = self._wrapped_discriminators(torch.cat([real, fake.detach()]))
        halves = [(v.logits.chunk(2), v) for v in verdicts]
        of_real = [v._replace(logits=logits[0]) for logits, v in halves]
        of_fake = [v._replace(logits=logits[1]) for logits, v in halves]
        loss = discriminator_loss(of_real, of_fake, block.loss)
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        norm, skipped = guarded_step(
            self.discriminator_optimizer, self.discriminators.parameters(), block.optimizer.clip
        )
        share = right_share(of_real, of_fake)
        return {"d_loss": loss, "d_right": share, "d_gradient_norm": norm, "d_skipped": skipped}

    def _crop(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Crops both signals at the same random position."""
        crop_s, n_samples = self.recipe.discriminator.crop_s, real.shape[2]
        n_kept = n_samples if crop_s is None else min(round(crop_s * self.spec.sample_rate_hz), n_samples)
        first = int(torch.randint(0, n_samples - n_kept + 1, (), generator=self._rng))
        return real[:, :, first : first + n_kept], fake[:, :, first : first + n_kept]

    def _losses(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        distance = self.spectral_loss(fake, real, self._drawn_windows())
        losses = {"mel": distance.mel, "loudness": distance.loudness}
        if self.spectral_loss.complex_windows:
            losses["complex"] = distance.complex
        if self.balancer.weights.get("multiscale"):
            losses["multiscale"] = distance.multiscale
        for name, music_loss in self.music_losses.items():
            if self.balancer.weights.get(name):
                losses[name] = music_loss(fake, real)
        if self.recipe.loss.waveform:
            losses["waveform"] = (fake - real).abs().mean()
        return losses

    def _drawn_windows(self) -> tuple[int, ...] | None:
        """The windows this step is judged through: a few at random are cheaper and in the mean the same."""
        windows, n_drawn = self.spectral_loss.windows, self.recipe.loss.n_windows_per_step
        if n_drawn is None or n_drawn >= len(windows):
            return None
        order = torch.randperm(len(windows), generator=self._rng)[:n_drawn]
        return tuple(windows[i] for i in order.tolist())

    def _adversarial_losses(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        assert self.discriminators is not None, "not in the adversarial phase"
        self.discriminators.requires_grad_(False)
        of_fake = self.discriminators(fake)
        with torch.no_grad():
            of_real = self.discriminators(real)
        adversarial = adversarial_loss(of_fake, self.recipe.discriminator.loss)
        return {"adversarial": adversarial, "feature": feature_loss(of_real, of_fake)}

    def _remember(self, latent: Tensor, indices: Tensor | None) -> None:
        self.latents.push(latent.transpose(1, 2).flatten(0, 1).float())
        if indices is not None:
            self.codes.push(indices.transpose(1, 2).flatten(0, 1).to(torch.int32))

    def effective_dimension(self) -> float:
        """Returns the effective dimension of the recent latents."""
        rows = self.latents.rows()
        return float("nan") if rows is None else effective_dimension(rows.T[None])

    def measure(self, n_steps: int, cpu_s: float) -> dict[str, Any]:
        """Returns the speed over the last `n_steps` and codebook statistics."""
        audio_s = n_steps * self.sampler.batch * self.sampler.n_samples / self.spec.sample_rate_hz
        values: dict[str, Any] = {
            "is_quantized": self.is_quantized, "audio_s_per_cpu_s": audio_s / cpu_s,
            "effective_dimension": self.fabric.broadcast(self.effective_dimension()),
        }  # fmt: skip
        codes = self.codes.rows()
        if codes is not None:
            usage = codebook_usage(codes.T[None].long(), self.spec.codebook_sizes)
            values |= {"perplexity": list(usage.perplexity), "dead_fraction": list(usage.dead_fraction)}
            values["n_frames_seen"] = codes.shape[0]
            values["codebook_sizes"] = list(self.spec.codebook_sizes)
        return values

    def on_log(self, step: int, values: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Enables the codebooks when the latents are ready, and re-initializes them when they collapse."""
        block = self.recipe.warmup
        if not self.is_quantized:
            is_check = step % block.check_every < self.recipe.log_every
            is_flat = is_check and self.plateau.is_reached(values["effective_dimension"])
            if step >= block.max_steps or (step >= block.min_steps and is_flat):
                self._quantize()
                yield "quantize", {"effective_dimension": values["effective_dimension"]}
        elif "perplexity" in values and "quantizer" not in self.phase.freeze:
            perplexities = self.fabric.broadcast(values["perplexity"])
            if self.collapse.is_collapsed(perplexities, self.spec.codebook_sizes, values["n_frames_seen"]):
                self._quantize()
                self.collapse.n_bad = 0
                yield "reseed", {"perplexity": perplexities}

    def export_metadata(self) -> dict[str, Any]:
        """Returns metadata for an exported codec."""
        return {"is_quantized": self.is_quantized}

    def validate(self, folder: Path) -> dict[str, Any]:
        """Scores the averaged codec on validation clips and writes them to `folder`."""
        if not self.validation_clips:
            return {}
        return validate_codec(self.average.module, self.validation_clips, self.spectral_loss, self.is_quantized, folder)

    @torch.no_grad()
    def _init_codec(self) -> None:
        """Let the codec start from the statistics of as many frames as its codebooks will."""
        if type(self.codec).init_from is CausalCodec.init_from:
            return
        sampler = self.sampler
        n_batches = -(-self.recipe.warmup.n_frames * self.spec.hop_samples // (sampler.batch * sampler.n_samples))
        audio = torch.cat([torch.from_numpy(sampler.next_batch()) for _ in range(n_batches)])
        self.codec.init_from(audio.to(self.device))
        self.average.module.load_state_dict(self.codec.state_dict())

    def _quantize(self) -> None:
        if self.has_placeable_codebooks:
            self.place_codebooks(self.sampler)
        self.is_quantized = True

    @property
    def has_placeable_codebooks(self) -> bool:
        """True if codebooks are initialized from latents, not trained by gradients."""
        quantizer = getattr(self.codec, "quantizer", None)
        return quantizer is not None and not quantizer.stages[0].is_trained_by_gradient

    @torch.no_grad()
    def place_codebooks(self, sampler: SegmentSampler) -> None:
        """Initializes the codebooks of every stage by k-means on new latents, and resets their averages."""
        n_frames = sampler.batch * sampler.n_samples // self.spec.hop_samples
        n_batches = -(-self.recipe.warmup.n_frames // n_frames)
        self.codec.eval()
        self.codec.place_codebooks(torch.from_numpy(sampler.next_batch()).to(self.device) for _ in range(n_batches))
        self.codec.train()
        for name in self.phase.freeze:
            getattr(self.codec, name).eval()
        self.average.restart_part("quantizer")
        self.codes.clear()

    def adopt_average(self) -> None:
        """Loads the averaged weights, so that modules frozen from here on equal the exported ones."""
        self.codec.load_state_dict(self.average.module.state_dict())

    def state(self) -> dict[str, Any]:
        state = {
            "codec": self.codec.state_dict(),
            "average": self.average.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "is_quantized": self.is_quantized,
            "codes": self.codes.state(),
            "latents": self.latents.state(),
            "dropout_rng": self._rng.get_state(),
            "balancer": self.balancer.norms,
            "sampler": self.sampler.state(),
            "n_collapsed": self.collapse.n_bad,
            "plateau": [self.plateau.best, self.plateau.n_flat],
        }
        if self.is_adversarial:
            assert self.discriminators is not None
            state["discriminators"] = self.discriminators.state_dict()
            state["discriminator_optimizer"] = self.discriminator_optimizer.state_dict()
        return state

    def restore(self, state: dict[str, Any], is_first: bool = True) -> None:
        """Restores a saved state of the same phase. Only the first process continues with the same segments."""
        if is_first:
            self.sampler.restore(state["sampler"])
        self.collapse.n_bad = state["n_collapsed"]
        self.plateau.best, self.plateau.n_flat = state["plateau"]
        self.codec.load_state_dict(state["codec"])
        self.average.module.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.is_quantized = state["is_quantized"]
        self.codes.restore(state["codes"], self.device)
        self.latents.restore(state["latents"], self.device)
        self._rng.set_state(state["dropout_rng"])
        self.balancer.norms = {name: norm.to(self.device) for name, norm in state["balancer"].items()}
        if self.is_adversarial:
            assert self.discriminators is not None
            self.discriminators.load_state_dict(state["discriminators"])
            self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])

    def _share_codebooks(self) -> None:
        """Updates moving-average codebooks from the latents of all devices."""
        for stage in getattr(getattr(self.codec, "quantizer", None), "stages", ()):
            if not stage.is_trained_by_gradient:
                stage.sum_over_ranks = lambda value: self.fabric.all_reduce(value, reduce_op="sum")
