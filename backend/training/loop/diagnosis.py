"""Diagnosis of a run from its log: healthy, collapsed, discriminator too strong, or diverged."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any, Literal

from backend.errors import BadSettings
from backend.training.loop.run_log import LOG_NAME, read_rows

State = Literal["healthy", "collapsed", "discriminator too strong", "diverged"]

# Evaluated over the last rows, relative to the best window of the same phase.
N_RECENT = 5
DIVERGED_RATIO = 2.0
MAX_SKIPPED = 0.2
MIN_USED_RATIO = 0.1  # perplexity of the worst codebook relative to the possible maximum
MAX_DEAD_FRACTION = 0.6
MIN_DIMENSION = 1.5
MAX_RIGHT_SHARE = 0.95
MIN_ROWS_FOR_CODES = 4  # codebooks need some steps after initialization


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A state, the reason, and the numbers behind it."""

    state: State
    reason: str
    numbers: dict[str, float] = field(default_factory=dict)


def diagnose(run: Path) -> Diagnosis:
    """Diagnoses the run in a folder. Raises `BadSettings` if it has no log yet."""
    rows = read_rows(run)
    steps = [row for row in rows if row["kind"] == "step"]
    if not steps:
        raise BadSettings(
            f"'{run.name}' has no steps in {LOG_NAME}; expected the folder of a started run. Check the path."
        )
    last = steps[-1]
    same = [
        row for row in steps if row["phase"] == last["phase"] and row.get("is_quantized") == last.get("is_quantized")
    ]  # fmt: skip
    numbers: dict[str, float] = {"step": last["step"]}
    return (
        _diverged(rows, same, numbers)
        or _collapsed(same, numbers)
        or _overpowered(same, numbers)
        or Diagnosis(
            "healthy",
            "the loss is at or near its best" + (" and the codebooks are in use" if "perplexity" in last else ""),
            numbers,
        )
    )


def _diverged(rows: list[dict[str, Any]], same: list[dict[str, Any]], numbers: dict[str, float]) -> Diagnosis | None:
    events = [row for row in rows if row["kind"] == "event"]
    recent = same[-N_RECENT:]
    # Codecs are checked by their reconstruction loss, voices by their total loss.
    watched = "recon" if "recon" in recent[-1] else "loss"
    losses = [row[watched] for row in same if row[watched] is not None]
    numbers["rollbacks"] = sum(row["event"] == "rollback" for row in events)
    numbers["skipped_share"] = fmean(row["skipped"] or 0.0 for row in recent)
    if events and events[-1]["event"] == "stop" and events[-1].get("reason") == "diverged":
        return Diagnosis("diverged", "the run stopped after its last allowed rollback", numbers)
    if any(row[watched] is None for row in recent):
        return Diagnosis("diverged", "the loss is not a number", numbers)
    numbers[watched] = median(losses[-N_RECENT:])
    windows = [median(losses[i : i + N_RECENT]) for i in range(max(len(losses) - N_RECENT + 1, 1))]
    numbers[f"best_{watched}"] = min(windows)
    if numbers[watched] > DIVERGED_RATIO * numbers[f"best_{watched}"]:
        return Diagnosis("diverged", f"the loss is more than {DIVERGED_RATIO:g} times its best", numbers)
    if numbers["skipped_share"] > MAX_SKIPPED:
        return Diagnosis("diverged", "many steps are skipped because gradients are not finite", numbers)
    return None


def _collapsed(same: list[dict[str, Any]], numbers: dict[str, float]) -> Diagnosis | None:
    last = same[-1]
    if last.get("effective_dimension") is not None:
        numbers["effective_dimension"] = last["effective_dimension"]
    if "codebook_sizes" in last and len(same) >= MIN_ROWS_FOR_CODES:
        sizes = last["codebook_sizes"]
        used = [p / min(size, last["n_frames_seen"]) for p, size in zip(last["perplexity"], sizes, strict=True)]
        numbers |= {"min_perplexity": min(last["perplexity"]), "min_used_ratio": min(used)}
        numbers["max_dead_fraction"] = max(last["dead_fraction"])
        if numbers["min_used_ratio"] < MIN_USED_RATIO:
            worst = used.index(min(used)) + 1
            return Diagnosis("collapsed", f"codebook {worst} uses few of its codes", numbers)
        if numbers["max_dead_fraction"] > MAX_DEAD_FRACTION and last["n_frames_seen"] > 4 * max(sizes):
            return Diagnosis("collapsed", "most codes of a codebook are never used", numbers)
    if numbers.get("effective_dimension", MIN_DIMENSION) < MIN_DIMENSION:
        return Diagnosis("collapsed", "the latents use barely more than one dimension", numbers)
    return None


def _overpowered(same: list[dict[str, Any]], numbers: dict[str, float]) -> Diagnosis | None:
    recent = [row for row in same[-N_RECENT:] if row.get("d_right") is not None]
    if not recent:
        return None
    numbers["discriminator_right"] = fmean(row["d_right"] for row in recent)
    numbers["discriminator_loss"] = fmean(row["d_loss"] for row in recent)
    if len(recent) == N_RECENT and numbers["discriminator_right"] > MAX_RIGHT_SHARE:
        return Diagnosis("discriminator too strong", "it distinguishes nearly all fakes from real audio", numbers)
    return None
