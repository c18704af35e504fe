"""A frame of the built-in voice with plain and bound calls, by number of rows in the batch."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from backend.lm.base import SamplerState
from backend.lm.dual_ar import DualAR
from backend.lm.sampling_options import SamplingOptions
from backend.lm.spec import Prompt, StepOutput
from backend.lm.text_pointer import Pointer, side_ids
from backend.optimize.registry import OPTIMIZATIONS
from backend.optimize.threads import use_threads
from backend.weights.checkpoint import load_lm, read_config

FOLDER = Path(__file__).parents[1] / "checkpoints" / "phonogram-mini"
ROWS = (1, 2, 4, 8)
PROMPT_COLUMNS, N_FRAMES, WARM_UP = 80, 100, 5
MAX_FRAMES = 1024


def run() -> list[dict[str, Any]]:
    """Returns one row per batch size, with both modes interleaved by frame on one thread."""
    use_threads(1)
    plain = load_lm(FOLDER, read_config(FOLDER))
    with torch.inference_mode():
        bound = OPTIMIZATIONS["cpu_graph"]().apply(copy.deepcopy(plain))
        return [compare(plain, bound, n_rows) for n_rows in ROWS]


def compare(plain: DualAR, bound: DualAR, n_rows: int, n_frames: int = N_FRAMES) -> dict[str, Any]:
    before, after = VoiceDecodeRun(plain, n_rows), VoiceDecodeRun(bound, n_rows)
    for _ in range(WARM_UP + n_frames):
        before.frame()
        after.frame()
    same = sum(map(torch.equal, before.frames, after.frames))
    return {
        "name": f"{n_rows} at a time", **before.figures("plain"), **after.figures("taped"),
        "times_as_fast": round(median(before.wall_s[WARM_UP:]) / median(after.wall_s[WARM_UP:]), 2),
        "frames": len(before.frames), "frames_alike": same,
    }  # fmt: skip


class VoiceDecodeRun:
    """Rows decoded in one batch, each with its own text and seed."""

    def __init__(self, lm: DualAR, n_rows: int):
        self.lm, self.rows = lm, list(range(n_rows))
        self.state = lm.init_state(n_rows, MAX_FRAMES)
        self.samplers = [SamplerState(SamplingOptions.for_family(lm.spec.family), seed) for seed in self.rows]
        outs = [self._prefill(row) for row in self.rows]
        aux = {name: torch.cat([out.aux[name] for out in outs]) for name in outs[0].aux}
        self.out = StepOutput(torch.cat([o.logits for o in outs]), torch.cat([o.hidden for o in outs]), aux)
        self.wall_s: list[float] = []
        self.busy_s: list[float] = []
        self.frames: list[torch.Tensor] = []

    def _prefill(self, row: int) -> StepOutput:
        spec, generator = self.lm.spec, np.random.default_rng(row)
        symbols = generator.integers(1, self.lm.config.side_sizes[0], PROMPT_COLUMNS)
        pointer = Pointer(symbols, spec.n_side, max_spent=self.lm.config.side_sizes[-1] - 1)
        self.samplers[row].pointer = pointer
        tokens = torch.zeros(spec.n_rows, PROMPT_COLUMNS, dtype=torch.long)
        tokens[0] = torch.from_numpy(symbols)
        side = torch.zeros(PROMPT_COLUMNS, spec.n_side, dtype=torch.long)
        side[-1] = torch.from_numpy(pointer.side())
        voice = torch.from_numpy(generator.standard_normal(spec.conditioning_dim)).float()
        return self.lm.prefill(Prompt(tokens, voice, side), self.state, row)

    def frame(self) -> None:
        start_s, busy_s = time.perf_counter(), time.thread_time()
        sampled = self.lm.sample(self.out, self.samplers, self.state, self.rows)
        side = side_ids([sampler.pointer for sampler in self.samplers])
        self.out = self.lm.step(sampled, self.state, self.rows, side)
        self.busy_s.append(time.thread_time() - busy_s)
        self.wall_s.append(time.perf_counter() - start_s)
        self.frames.append(sampled)

    def figures(self, name: str) -> dict[str, float]:
        """Returns the medians of wall time and of CPU time, which other load affects less."""
        wall_ms, busy_ms = (sorted(1e3 * s for s in times[WARM_UP:]) for times in (self.wall_s, self.busy_s))
        return {
            f"{name}_ms_per_frame": round(median(wall_ms), 2), f"{name}_best_ms": round(wall_ms[0], 2),
            f"{name}_core_ms": round(median(busy_ms), 2),
        }  # fmt: skip
