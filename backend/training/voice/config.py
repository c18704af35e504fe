"""Configuration of voice training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from backend.training.loop.config import ConfigBlock, OptimizerBlock, Paths, Probability, RunConfig, check_config

RunningTotal = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0.0)]


class ModelBlock(ConfigBlock):
    """`config` and `speaker` are arguments of `DualARConfig` and `SpeakerConfig`, without those derived from the data."""

    config: dict[str, Any] = Field(default_factory=dict)
    speaker: dict[str, Any] = Field(default_factory=dict)
    n_ahead: Annotated[int, Field(ge=0)] = 3  # look-ahead phonemes after the current one
    max_spent: RunningTotal = 15  # cap of the counter of frames on a phoneme
    max_advance: RunningTotal = 4  # phonemes the pointer may move after a frame
    follows_codec: bool = False  # code tables start from the codec's vectors, see code_embeddings.py
    speaker_follows_only: bool = False  # the speaker encoder's table has no residual rows
    is_speaker_fresh: bool = False  # with init: do not load its speaker encoder


class ShardBlock(ConfigBlock):
    dir: Paths = ()
    unseen_dir: Path | None = None  # shards of held-out speakers
    n_validation: Annotated[int, Field(ge=0)] = 48  # held-out utterances of `dir`
    frames_per_batch: RunningTotal = 1536
    max_frames: RunningTotal = 400
    reference_s: tuple[float, float] = (3.0, 8.0)
    join_probability: Probability = 0.1  # probability of a batch with two utterances of a speaker per row
    codec: Path | None = None  # decodes validation samples; None: codes are scored only
    asr_dir: Path | None = None  # a CTranslate2 Whisper model; adds the WER to validation


class VoiceLossBlock(ConfigBlock):
    main: Weight = 1.0
    residual: Weight = 1.0
    advance: Weight = 1.0
    label_smoothing: Probability = 0.0
    residual_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.4  # fraction of frames, resampled each step


class NoiseBlock(ConfigBlock):
    """Input noise that makes the model robust to its own errors."""

    frame_probability: Probability = 0.06  # input frames replaced by another one
    residual_probability: Probability = 0.06  # input frames that keep only their first code
    no_speaker_probability: Probability = 0.1
    speaker_std: Weight = 0.0  # of noise added to a speaker embedding, which has deviation 1
    dropout: Probability = 0.0  # of the embedded inputs


class TrainBlock(ConfigBlock):
    steps: RunningTotal = 20000
    optimizer: OptimizerBlock = OptimizerBlock(lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05, warmup_steps=200,
                                               final_ratio=0.05, clip=1.0)  # fmt: skip


class ValidationBlock(ConfigBlock):
    n_sentences: RunningTotal = 8
    temperature: Weight = 0.7
    top_p: Probability = 0.9
    pointer_temperature: Weight = 0.7
    seed: int = 0


class ExportBlock(ConfigBlock):
    storage: Literal["fp16", "int8"] = "fp16"
    language: Literal["en-us", "en-gb"] = "en-us"  # language of the exported voice
    voices: tuple[str, ...] | None = None  # speakers to export as voices; default: all that are not mixes
    codec: str | None = None  # codec path relative to the export; None: copy the codec there
    n_references: RunningTotal = 12  # utterances averaged for a named voice
    license: str = ""
    description: str = ""


class VoiceConfig(RunConfig):
    trained: ClassVar[str] = "model"

    model: ModelBlock = ModelBlock()
    data: ShardBlock = ShardBlock()
    loss: VoiceLossBlock = VoiceLossBlock()
    noise: NoiseBlock = NoiseBlock()
    train: TrainBlock = TrainBlock()
    audition: ValidationBlock = ValidationBlock()
    export: ExportBlock = ExportBlock()
    out: Path = Path("runs/lm")
    init: Path | None = None  # voice/ folder of another run to start from

    @property
    def total_steps(self) -> int:
        return self.train.steps

    def phase_at(self, step: int) -> tuple[str, TrainBlock, int]:
        return "lm", self.train, 0


def read_voice_config(values: dict[str, Any]) -> VoiceConfig:
    """Validates a composed preset. Raises `BadSettings` naming every wrong or unknown setting."""
    return check_config(VoiceConfig, values)
