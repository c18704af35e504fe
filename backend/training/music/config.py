"""Configuration of music training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from backend.training.loop.config import ConfigBlock, OptimizerBlock, Probability, RunConfig, check_config

Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0.0)]


class MusicModelBlock(ConfigBlock):
    """`config` holds arguments of `DualARConfig`, without those derived from the codec and the labels."""

    config: dict[str, Any] = Field(default_factory=dict)
    n_codebooks: Count = 8  # the first codebooks of the codec; those after them are not modeled


class CorpusBlock(ConfigBlock):
    dir: Path  # a folder of renders with a manifest
    codec: Path
    codes_dir: Path | None = None  # encoded pieces; default: a folder in `dir` named after the codec
    n_validation: Annotated[int, Field(ge=0)] = 24  # held-out pieces to validate on
    batch: Count = 16
    crop_frames: Count = 128
    beginning_probability: Probability = 0.2  # crops at the beginning of a piece
    field_drop: Probability = 0.3  # of each labeled field
    caption_drop: Probability = 0.3
    all_drop: Probability = 0.1  # of all fields and the caption, for guidance


class CurriculumBlock(ConfigBlock):
    """Crops grow linearly from `first_crop_frames` to `data.crop_frames` during the first `steps` steps."""

    steps: Annotated[int, Field(ge=0)] = 0
    first_crop_frames: Count = 32


class MusicLossBlock(ConfigBlock):
    main: Weight = 1.0
    residual: Weight = 1.0
    residual_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5  # fraction of frames, resampled each step
    dropout: Probability = 0.0  # of the embedded inputs


class MusicTrainBlock(ConfigBlock):
    steps: Count = 20000
    optimizer: OptimizerBlock = OptimizerBlock(lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05, warmup_steps=200,
                                               final_ratio=0.05, clip=1.0)  # fmt: skip


class MusicExportBlock(ConfigBlock):
    storage: Literal["fp16", "int8"] = "fp16"
    license: str = ""
    description: str = ""


class MusicConfig(RunConfig):
    trained: ClassVar[str] = "model"

    model: MusicModelBlock = MusicModelBlock()
    data: CorpusBlock
    curriculum: CurriculumBlock = CurriculumBlock()
    loss: MusicLossBlock = MusicLossBlock()
    train: MusicTrainBlock = MusicTrainBlock()
    export: MusicExportBlock = MusicExportBlock()
    out: Path = Path("runs/music")
    init: Path | None = None  # model/ folder of another run to start from

    @property
    def total_steps(self) -> int:
        return self.train.steps

    def phase_at(self, step: int) -> tuple[str, MusicTrainBlock, int]:
        return "music", self.train, 0

    def crop_frames_at(self, step: int) -> int:
        last, first = self.data.crop_frames, min(self.curriculum.first_crop_frames, self.data.crop_frames)
        if step >= self.curriculum.steps:
            return last
        return first + (last - first) * step // self.curriculum.steps


def read_music_config(values: dict[str, Any]) -> MusicConfig:
    """Validates a composed preset. Raises `BadSettings` naming every wrong or unknown setting."""
    return check_config(MusicConfig, values)
