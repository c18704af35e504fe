"""Configuration of codec training, validated before a run starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from backend.errors import BadSettings
from backend.training.loop.config import (
    ConfigBlock,
    GuardBlock,
    OptimizerBlock,
    Paths,
    Probability,
    RunConfig,
    check_config,
)  # fmt: skip

WaveformLoss = Literal[
    "mel", "loudness", "complex", "multiscale", "chroma", "onset", "waveform", "adversarial", "feature"
]


class CodecBlock(ConfigBlock):
    name: str
    config: dict[str, Any] = Field(default_factory=dict)


class AugmentBlock(ConfigBlock):
    speed_probability: Probability = 0.3
    max_speed_change: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.12
    tone_probability: Probability = 0.3
    max_tone_db: float = 6.0
    noise_probability: Probability = 0.1
    noise_snr_db: tuple[float, float] = (15.0, 45.0)
    gain_probability: Probability = 0.5
    gain_db: tuple[float, float] = (-18.0, 6.0)
    band_probability: Probability = 0.0
    band_hz: tuple[Annotated[float, Field(gt=0.0)], Annotated[float, Field(gt=0.0)]] = (3400.0, 10000.0)
    room_probability: Probability = 0.0
    room_s: tuple[Annotated[float, Field(gt=0.0)], Annotated[float, Field(gt=0.0)]] = (0.15, 0.6)
    room_db: tuple[float, float] = (-25.0, -5.0)


class DataBlock(ConfigBlock):
    dir: Paths = ()
    cache: Path = Path("data/cache")
    heldout_speakers: tuple[str, ...] = ()
    heldout_files: tuple[str, ...] = ()
    audition_dir: Path | None = None  # validation recordings; default: held-out clips of `dir`
    n_audition_clips: Annotated[int, Field(ge=1)] = 6
    augment: AugmentBlock = AugmentBlock()


class CodecLossBlock(ConfigBlock):
    mel_windows: tuple[int, ...] = (256, 512, 1024, 2048)
    mel_bins: tuple[int, ...] = (32, 64, 96, 128)
    complex_windows: tuple[int, ...] = (512, 1024)
    n_windows_per_step: Annotated[int, Field(ge=1)] | None = None  # judge through so many at random, to save time
    floor: Annotated[float, Field(gt=0.0)] = 3e-4
    mel: float = 15.0
    loudness: float = 0.0
    complex: float = 15.0
    multiscale: float = 0.0
    chroma: float = 0.0
    onset: float = 0.0
    waveform: float = 0.0
    commitment: float = 0.25
    codebook: float = 1.0
    adversarial: float = 1.0
    feature: float = 2.0


class WarmupBlock(ConfigBlock):
    """Training without codebooks until the latents stop gaining effective dimensions, within bounds."""

    min_steps: Annotated[int, Field(ge=0)] = 1000
    max_steps: Annotated[int, Field(ge=0)] = 4000
    check_every: Annotated[int, Field(ge=1)] = 200
    patience: Annotated[int, Field(ge=1)] = 3  # checks without growth
    min_growth: float = 0.03  # relative growth of the effective dimension that resets patience
    n_frames: Annotated[int, Field(ge=1)] = 16384  # latents for codebook initialization


class PhaseBlock(ConfigBlock):
    steps: Annotated[int, Field(ge=0)]
    batch: Annotated[int, Field(ge=1)] = 8
    segment_s: Annotated[float, Field(gt=0.0)] = 0.64
    optimizer: OptimizerBlock = OptimizerBlock()
    freeze: tuple[str, ...] = ()  # codec modules to freeze, by attribute name
    weights: dict[WaveformLoss, float] = Field(default_factory=dict)  # override those in `loss`
    is_balanced: bool = False  # weights are shares of the gradient, see balancer.py


class DiscriminatorBlock(ConfigBlock):
    channels: Annotated[int, Field(ge=1)] = 8
    stft_windows: tuple[int, ...] = (512, 1024)
    n_wave_scales: Annotated[int, Field(ge=0)] = 2
    loss: Literal["hinge", "lsgan"] = "hinge"
    optimizer: OptimizerBlock = OptimizerBlock(lr=5e-4)
    head_start_steps: Annotated[int, Field(ge=0)] = 0  # discriminator-only steps
    crop_s: Annotated[float, Field(gt=0.0)] | None = None  # use a random crop of each segment, to save time


class CodebookGuardBlock(GuardBlock):
    min_perplexity_ratio: Probability = 0.02  # relative to the codebook size; below it a codebook has collapsed
    collapse_patience: Annotated[int, Field(ge=1)] = 4  # log intervals


class HarmonicBlock(ConfigBlock):
    """What trains a decoder with a harmonic source, beside the losses on the waveform."""

    decoder_weights: Path | None = None  # of such a decoder, instead of those that start from the plain one of `init`
    bin_windows: tuple[int, ...] = (512, 1024, 2048)
    spectrum: float = 2.0
    compressed: float = 25.0
    f0: float = 0.1
    voicing: float = 0.3
    slope: float = 3.0
    pulse_phase: float = 2.0
    true_f0_share: Probability = 0.5  # of the items whose source follows the recording's own F0
    skip_s: Annotated[float, Field(ge=0.0)] = 0.12  # not judged: the decoder has heard too little yet
    anchor_hz: Annotated[float, Field(ge=0.0)] = 3500.0  # 0 for no anchoring
    anchor_frames: Annotated[int, Field(ge=0)] = 4


class CodecConfig(RunConfig):
    trained: ClassVar[str] = "codec"

    codec: CodecBlock
    data: DataBlock = DataBlock()
    loss: CodecLossBlock = CodecLossBlock()
    warmup: WarmupBlock = WarmupBlock()
    recon: PhaseBlock = PhaseBlock(steps=20000)
    adversarial: PhaseBlock = PhaseBlock(steps=0)
    discriminator: DiscriminatorBlock = DiscriminatorBlock()
    guard: CodebookGuardBlock = CodebookGuardBlock()
    harmonic: HarmonicBlock | None = None
    quantizer_dropout: Probability = 0.5
    out: Path = Path("runs/codec")
    init: Path | None = None  # codec folder to start from; skips the warm-up

    @property
    def total_steps(self) -> int:
        return self.recon.steps + self.adversarial.steps

    def phase_at(self, step: int) -> tuple[str, PhaseBlock, int]:
        if step < self.recon.steps or not self.adversarial.steps:
            return "recon", self.recon, 0
        return "adversarial", self.adversarial, self.recon.steps

    def check_phase(self, name: str, step: int) -> None:
        if name == "adversarial" and self.phase_at(step)[0] != name:
            raise BadSettings(
                f"The run was in its adversarial phase at step {step}; the settings have recon.steps="
                f"{self.recon.steps}. Restore that setting, or start a new run with init=EXPORTED_CODEC."
            )


def read_codec_config(values: dict[str, Any]) -> CodecConfig:
    """Validates a composed preset. Raises `BadSettings` naming every wrong or unknown setting."""
    return check_config(CodecConfig, values)
