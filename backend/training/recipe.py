"""Everything a codec training run can be told, checked before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from backend.errors import BadSettings

WaveformLoss = Literal["mel", "loudness", "complex", "waveform", "adversarial", "feature"]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Paths = Annotated[tuple[Path, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str | Path) else value)]


class Block(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CodecBlock(Block):
    name: str
    config: dict[str, Any] = {}


class AugmentBlock(Block):
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


class DataBlock(Block):
    dir: Paths = ()
    cache: Path = Path("data/cache")
    heldout_speakers: tuple[str, ...] = ()
    heldout_files: tuple[str, ...] = ()
    audition_dir: Path | None = None  # recordings to listen to; else held-out clips of `dir`
    n_audition_clips: Annotated[int, Field(ge=1)] = 6
    augment: AugmentBlock = AugmentBlock()


class LossBlock(Block):
    mel_windows: tuple[int, ...] = (256, 512, 1024, 2048)
    mel_bins: tuple[int, ...] = (32, 64, 96, 128)
    complex_windows: tuple[int, ...] = (512, 1024)
    floor: Annotated[float, Field(gt=0.0)] = 3e-4
    mel: float = 15.0
    loudness: float = 0.0
    complex: float = 15.0
    waveform: float = 0.0
    commitment: float = 0.25
    codebook: float = 1.0
    adversarial: float = 1.0
    feature: float = 2.0


class WarmupBlock(Block):
    """Steps without codebooks: until the latents stop gaining effective dimensions, within bounds."""

    min_steps: Annotated[int, Field(ge=0)] = 1000
    max_steps: Annotated[int, Field(ge=0)] = 4000
    check_every: Annotated[int, Field(ge=1)] = 200
    patience: Annotated[int, Field(ge=1)] = 3  # checks without growth
    min_growth: float = 0.03  # relative growth of the effective dimension that counts
    n_frames: Annotated[int, Field(ge=1)] = 16384  # latents the codebooks start from


class OptimizerBlock(Block):
    lr: Annotated[float, Field(gt=0.0)] = 1e-3
    betas: tuple[float, float] = (0.8, 0.99)
    weight_decay: float = 0.01
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    final_ratio: Probability = 0.02
    clip: Annotated[float, Field(gt=0.0)] = 5.0


class PhaseBlock(Block):
    steps: Annotated[int, Field(ge=0)]
    batch: Annotated[int, Field(ge=1)] = 8
    segment_s: Annotated[float, Field(gt=0.0)] = 0.64
    optimizer: OptimizerBlock = OptimizerBlock()
    freeze: tuple[str, ...] = ()  # parts of the codec, by attribute name
    weights: dict[WaveformLoss, float] = {}  # instead of those in `loss`
    is_balanced: bool = False  # weights are then shares of the gradient, see balancer.py


class DiscriminatorBlock(Block):
    channels: Annotated[int, Field(ge=1)] = 8
    stft_windows: tuple[int, ...] = (512, 1024)
    n_wave_scales: Annotated[int, Field(ge=0)] = 2
    loss: Literal["hinge", "lsgan"] = "hinge"
    optimizer: OptimizerBlock = OptimizerBlock(lr=5e-4)
    head_start_steps: Annotated[int, Field(ge=0)] = 0  # steps it learns before the codec listens to it
    crop_s: Annotated[float, Field(gt=0.0)] | None = None  # judge a random piece of each segment, to save time


class GuardBlock(Block):
    max_loss_ratio: Annotated[float, Field(gt=1.0)] = 3.0  # against the running median
    window: Annotated[int, Field(ge=3)] = 20  # log intervals in the median
    lr_cut: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    max_rollbacks: Annotated[int, Field(ge=0)] = 5
    min_perplexity_ratio: Probability = 0.02  # of the codebook size; below it a codebook counts as collapsed
    collapse_patience: Annotated[int, Field(ge=1)] = 4  # log intervals


class Recipe(Block):
    codec: CodecBlock
    data: DataBlock = DataBlock()
    loss: LossBlock = LossBlock()
    warmup: WarmupBlock = WarmupBlock()
    recon: PhaseBlock = PhaseBlock(steps=20000)
    adversarial: PhaseBlock = PhaseBlock(steps=0)
    discriminator: DiscriminatorBlock = DiscriminatorBlock()
    guard: GuardBlock = GuardBlock()
    quantizer_dropout: Probability = 0.5
    average_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.999
    out: Path = Path("runs/codec")
    init: Path | None = None  # codec folder to start from; then without warm-up
    seed: int = 0
    threads: Annotated[int, Field(ge=1)] = 1
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    max_minutes: Annotated[float, Field(gt=0.0)] | None = None  # stop, to be continued later
    log_every: Annotated[int, Field(ge=1)] = 25
    snapshot_minutes: Annotated[float, Field(ge=0.0)] = 5.0
    export_minutes: Annotated[float, Field(ge=0.0)] = 15.0
    audition_minutes: Annotated[float, Field(ge=0.0)] = 15.0

    @property
    def total_steps(self) -> int:
        return self.recon.steps + self.adversarial.steps

    def phase_at(self, step: int) -> tuple[str, PhaseBlock, int]:
        """The phase that step `step` belongs to: its name, its settings and the step it began at."""
        if step < self.recon.steps or not self.adversarial.steps:
            return "recon", self.recon, 0
        return "adversarial", self.adversarial, self.recon.steps


def read_recipe(values: dict[str, Any]) -> Recipe:
    """Check a composed preset. Raises `BadSettings` naming every wrong or unknown setting."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, item['loc']))}: {item['msg']} (got {item['input']!r})" for item in error.errors()]
        raise BadSettings("The training settings do not fit: " + "; ".join(lines) + ".") from error
