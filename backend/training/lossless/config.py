"""Everything the training of a model of raw audio can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from backend.data.datasets.pcm_chunks import CHUNK_SIZE_BYTES, DEFAULT_BLOCKING_SIZE
from backend.training.loop.config import ConfigBlock, OptimizerBlock, Probability, RunConfig, check_config

Count = Annotated[int, Field(ge=1)]


class ByteModelBlock(ConfigBlock):
    """`config`: fields of `ByteLMConfig` that the data does not decide."""

    config: dict[str, Any] = Field(default_factory=dict)


class PcmBlock(ConfigBlock):
    dir: Path
    use_16bit: bool = False
    is_byte_level: bool = True  # 16-bit samples as two bytes; without it the vocabulary has 65,536 tokens
    blocking_size: Count = DEFAULT_BLOCKING_SIZE  # samples of a channel before those of the other
    chunk_size_bytes: Count = CHUNK_SIZE_BYTES
    num_chunks: Count = 488281
    valid_share: Probability = 0.1  # of the files
    n_validation: Count = 64  # chunks a validation reads


class PcmTrainBlock(ConfigBlock):
    steps: Count = 1000
    batch: Count = 16  # chunks
    optimizer: OptimizerBlock = OptimizerBlock(lr=1e-3, betas=(0.9, 0.98), weight_decay=0.01, warmup_steps=100,
                                               final_ratio=0.05, clip=1.0)  # fmt: skip


class WandbBlock(ConfigBlock):
    project: str | None = None  # without it nothing is sent or written
    run: str | None = None
    mode: Literal["offline", "online"] = "offline"


class PcmConfig(RunConfig):
    trained: ClassVar[str] = "model"

    model: ByteModelBlock = ByteModelBlock()
    data: PcmBlock
    train: PcmTrainBlock = PcmTrainBlock()
    wandb: WandbBlock = WandbBlock()
    out: Path = Path("runs/pcm")

    @property
    def total_steps(self) -> int:
        return self.train.steps

    def phase_at(self, step: int) -> tuple[str, PcmTrainBlock, int]:
        return "pcm", self.train, 0


def read_pcm_config(values: dict[str, Any]) -> PcmConfig:
    """Check a composed preset. Raises `BadSettings` naming every wrong or unknown setting."""
    return check_config(PcmConfig, values)
