"""Settings shared by all training runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from backend.errors import BadSettings

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Paths = Annotated[tuple[Path, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str | Path) else value)]


class ConfigBlock(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OptimizerBlock(ConfigBlock):
    lr: Annotated[float, Field(gt=0.0)] = 1e-3
    betas: tuple[float, float] = (0.8, 0.99)
    weight_decay: float = 0.01
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    final_ratio: Probability = 0.02
    clip: Annotated[float, Field(gt=0.0)] = 5.0


class GuardBlock(ConfigBlock):
    max_loss_ratio: Annotated[float, Field(gt=1.0)] = 3.0  # relative to the running median
    window: Annotated[int, Field(ge=3)] = 20  # log intervals of the median
    lr_cut: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    max_rollbacks: Annotated[int, Field(ge=0)] = 5


class RunConfig(ConfigBlock):
    """Base of a task's configuration; subclasses add blocks and define the number of steps and the phases."""

    trained: ClassVar[str]  # the block that must not change within a run

    guard: GuardBlock = GuardBlock()
    average_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.999
    out: Path
    seed: int = 0
    threads: Annotated[int, Field(ge=1)] = 1
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    max_minutes: Annotated[float, Field(gt=0.0)] | None = None  # time limit; the run can be resumed
    log_every: Annotated[int, Field(ge=1)] = 25
    snapshot_minutes: Annotated[float, Field(ge=0.0)] = 5.0
    export_minutes: Annotated[float, Field(ge=0.0)] = 15.0
    audition_minutes: Annotated[float, Field(ge=0.0)] = 15.0

    @property
    def total_steps(self) -> int:
        raise NotImplementedError

    def phase_at(self, step: int) -> tuple[str, Any, int]:
        """Returns the phase of `step`: its name, its settings and its first step."""
        raise NotImplementedError

    def check_phase(self, name: str, step: int) -> None:
        """Raises `BadSettings` if a run in phase `name` at `step` cannot continue with these settings."""


ConfigT = TypeVar("ConfigT", bound=RunConfig)


def check_config(kind: type[ConfigT], values: dict[str, Any]) -> ConfigT:
    """Validates a composed preset. Raises `BadSettings` naming every wrong or unknown setting."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, item['loc']))}: {item['msg']} (got {item['input']!r})" for item in error.errors()]
        raise BadSettings("The training settings are invalid: " + "; ".join(lines) + ". Correct them.") from error
