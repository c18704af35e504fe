"""Everything the training of a voice can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from backend.training.loop.config import ConfigBlock, OptimizerBlock, Paths, Probability, RunConfig, check_config

RunningTotal = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0.0)]


class ModelBlock(ConfigBlock):
    """`config` and `speaker` are arguments of `DualARConfig` and `SpeakerConfig`, less what follows from the data."""

    config: dict[str, Any] = Field(default_factory=dict)
    speaker: dict[str, Any] = Field(default_factory=dict)
    n_ahead: Annotated[int, Field(ge=0)] = 3  # phonemes told beside the one being spoken
    max_spent: RunningTotal = 15  # frames on a phoneme, counted up to here
    max_advance: RunningTotal = 4  # phonemes the pointer may move after a frame
    follows_codec: bool = False  # tables of codes follow the codec's vectors, see code_geometry.py
    speaker_follows_only: bool = False  # the speaker encoder knows nothing else of a code
    is_speaker_fresh: bool = False  # with init: what it brings of the speaker encoder is left out


class ShardBlock(ConfigBlock):
    dir: Paths = ()
    unseen_dir: Path | None = None  # shards of speakers that are never learned from
    n_validation: Annotated[int, Field(ge=0)] = 48  # utterances of `dir` that are never learned from
    frames_per_batch: RunningTotal = 1536
    max_frames: RunningTotal = 400
    reference_s: tuple[float, float] = (3.0, 8.0)
    join_probability: Probability = 0.1  # of a batch whose rows are two utterances of a speaker each
    codec: Path | None = None  # to listen with; without it sentences are judged by their codes alone
    asr_dir: Path | None = None  # a CTranslate2 Whisper model; then auditions also count word errors


class VoiceLossBlock(ConfigBlock):
    main: Weight = 1.0
    residual: Weight = 1.0
    advance: Weight = 1.0
    label_smoothing: Probability = 0.0
    residual_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.4  # of the frames, drawn anew each step


class NoiseBlock(ConfigBlock):
    """What stands between a model and its own mistakes: inputs that are a little wrong."""

    frame_probability: Probability = 0.06  # of an input frame to be another one
    residual_probability: Probability = 0.06  # of an input frame to keep its first code only
    no_speaker_probability: Probability = 0.1
    speaker_std: Weight = 0.0  # of what is added to a speaker's vector, whose own deviation is 1
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
    language: Literal["en-us", "en-gb"] = "en-us"  # how the exported voice reads words
    voices: tuple[str, ...] | None = None  # speakers to name; all that are no mixes by default
    codec: str | None = None  # where the codec will lie, seen from the export; without it the codec is copied there
    n_references: RunningTotal = 12  # utterances a named voice is the mean of
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
    init: Path | None = None  # the voice/ folder of another run to start from

    @property
    def total_steps(self) -> int:
        return self.train.steps

    def phase_at(self, step: int) -> tuple[str, TrainBlock, int]:
        return "lm", self.train, 0


def read_voice_config(values: dict[str, Any]) -> VoiceConfig:
    """Check a composed preset. Raises `BadSettings` naming every wrong or unknown setting."""
    return check_config(VoiceConfig, values)
