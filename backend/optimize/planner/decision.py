"""Plan values: options, decisions and their reasons."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

PLAN_VERSION = 6

Target = Literal["lm", "codec", "process"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """The configured options. `threads` None: measured."""

    mixed_precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    quantization: Literal["none", "int8", "int4"] = "none"
    compile: bool = False
    cuda_graphs: bool = True
    cpu_kernel: bool = False
    num_streams: int = 3
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """One optimization, applied or refused; `measured` holds figures with units in their names."""

    name: str
    target: Target
    is_applied: bool
    reason: str
    measured: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        figures = ", ".join(f"{name} {value:g}" for name, value in self.measured.items())
        return f"{self.name} ({self.target}): {self.reason}" + (f" [{figures}]" if figures else "")


@dataclass(frozen=True, slots=True)
class Plan:
    """Decisions in the order they are applied. `is_cached`: read from the cache, nothing was measured.

    `busy_share`, 0...1: the share of all cores that other programs used during the measurement.
    """

    decisions: tuple[Decision, ...]
    lm_threads: int
    codec_threads: int
    busy_share: float = 0.0
    is_cached: bool = False

    def applied(self, target: Target) -> tuple[str, ...]:
        return tuple(d.name for d in self.decisions if d.is_applied and d.target == target)

    @property
    def is_measured(self) -> bool:
        """False if the kernels were still compiling, so that the next start must measure them."""
        return not any(d.name == "cpu_kernel" and d.is_applied and not d.measured for d in self.decisions)

    @property
    def refused(self) -> tuple[Decision, ...]:
        return tuple(d for d in self.decisions if not d.is_applied)

    def to_json(self, key: dict[str, Any]) -> str:
        """Serializes the plan; `key` identifies its machine, weights and options."""
        values = {"version": PLAN_VERSION, "key": key, "lm_threads": self.lm_threads}
        values |= {"codec_threads": self.codec_threads, "busy_share": round(self.busy_share, 3)}
        values |= {"decisions": [asdict(d) for d in self.decisions]}
        return json.dumps(values, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, key: dict[str, Any]) -> Plan:
        """Parses a plan. Raises `ValueError`, `KeyError` or `TypeError` for anything but a plan written for `key`."""
        values = json.loads(text)
        if not isinstance(values, dict) or values["version"] != PLAN_VERSION or values["key"] != key:
            raise ValueError("written by another version, or for another machine, other weights or other options")
        decisions = tuple(Decision(**decision) for decision in values["decisions"])
        if any(type(d.is_applied) is not bool or not isinstance(d.measured, dict) for d in decisions):
            raise ValueError("a decision without its fields")
        threads = int(values["lm_threads"]), int(values["codec_threads"])
        return cls(decisions, *threads, busy_share=float(values["busy_share"]), is_cached=True)
