"""Generates frames for a fixed batch of prompts: for tests, evaluation and validation. The server uses its scheduler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from backend.errors import LimitExceeded
from backend.lm.base import SamplerState, TokenLM
from backend.lm.runaway import FinishReason, LoopDetector, RunawayLimits
from backend.lm.sampling_options import SamplingOptions
from backend.lm.spec import Prompt
from backend.lm.text_pointer import Pointer, side_ids


class Generation(NamedTuple):
    """Frames [R, T] without the end frame, and the reason they end. `attempt` 1 is the first retry."""

    frames: Tensor
    finish_reason: FinishReason
    attempt: int

    @property
    def codes(self) -> Tensor:
        """[K, T]"""
        return self.frames[1:]


@dataclass(slots=True)
class _Row:
    prompt: Prompt
    sampler: SamplerState
    budget: int
    limits: RunawayLimits | None
    frames: list[Tensor] = field(default_factory=list)
    loop: LoopDetector | None = None
    finish_reason: FinishReason | None = None

    def start(self) -> None:
        self.frames = []
        self.loop = None if self.limits is None else LoopDetector(self.limits.frame_rate_hz)

    def take(self, frame: Tensor, main_id: int, end_id: int) -> None:
        """Keeps a frame, or records why generation ends here."""
        if main_id == end_id:
            self.finish_reason = "stop"
            return
        self.frames.append(frame)
        pointer = self.sampler.pointer
        if pointer is not None and pointer.is_finished:
            self.finish_reason = "pointer_end"
        elif self.loop is not None and self.loop.push(main_id):
            self.finish_reason = "repetition"
            self.frames = self.frames[: self.loop.n_before_loop]
        elif len(self.frames) >= self.limit:
            self.finish_reason = "length"

    @property
    def limit(self) -> int:
        return self.budget if self.limits is None else min(self.budget, self.limits.longest_frames)

    @property
    def is_runaway(self) -> bool:
        is_overlong = self.finish_reason == "length" and self.limit < self.budget
        return self.finish_reason == "repetition" or is_overlong


@torch.inference_mode()
def generate(
    lm: TokenLM, prompts: Sequence[Prompt], options: SamplingOptions | Sequence[SamplingOptions] | None = None, *,
    seeds: Sequence[int] | None = None, max_new_tokens: int = 0, pointers: Sequence[Pointer | None] | None = None,
    limits: RunawayLimits | Sequence[RunawayLimits] | None = None, on_frame: Callable[[int, Tensor], Any] | None = None,
) -> list[Generation]:  # fmt: skip
    """Generates every prompt in one batch; each row's result equals generating it alone.

    Row i samples with `seeds[i]` (0, 1, ... by default); `max_new_tokens` 0 means up to the model's limit. A row that
    exceeds its `limits` is retried with other noise. `on_frame(row, frame)` is called for every frame, including those
    of failed attempts. Raises `LimitExceeded` for a prompt that leaves no position free.
    """
    spec, n = lm.spec, len(prompts)
    each = options if isinstance(options, Sequence) else [options or SamplingOptions.for_family(spec.family)] * n
    row_limits = limits if isinstance(limits, list | tuple) and not isinstance(limits, RunawayLimits) else [limits] * n
    rows = []
    for i, prompt in enumerate(prompts):
        n_free = spec.max_frames - prompt.tokens.shape[1]
        if n_free < 1:
            raise LimitExceeded(
                f"The prompt has {prompt.tokens.shape[1]} positions of {spec.max_frames}, which leaves none for speech. "
                "Use a shorter reference or text."
            )
        sampler = SamplerState(each[i], seeds[i] if seeds else i, pointer=pointers[i] if pointers else None)
        rows.append(_Row(prompt, sampler, min(max_new_tokens or n_free, n_free), row_limits[i]))
    longest = max((row.prompt.tokens.shape[1] + row.budget for row in rows), default=0)
    state = lm.init_state(n, longest)
    latest: list[Tensor] = [torch.empty(0)] * n
    active = list(range(n))
    starting = list(range(n))
    while active:
        for i in starting:
            rows[i].start()
            out = lm.prefill(rows[i].prompt, state, i)
            latest[i] = lm.sample(out, [rows[i].sampler], state, [i])[0]
        stepping = [i for i in active if i not in starting]
        if stepping:
            samplers = [rows[i].sampler for i in stepping]
            frames = torch.stack([latest[i] for i in stepping])
            out = lm.step(frames, state, stepping, side_ids([s.pointer for s in samplers], frames.device))
            for i, frame in zip(stepping, lm.sample(out, samplers, state, stepping), strict=True):
                latest[i] = frame
        main_ids = torch.stack([latest[i] for i in active])[:, 0].tolist()
        starting = []
        for i, main_id in zip(active, main_ids, strict=True):
            row = rows[i]
            row.take(latest[i], main_id, spec.end_id)
            if on_frame is not None and main_id != spec.end_id:
                on_frame(i, latest[i])
            if row.is_runaway and row.limits is not None and row.sampler.attempt < row.limits.retries:
                row.sampler, row.finish_reason = row.sampler.next_attempt(), None
                state.reset_row(i)
                starting.append(i)
        active = [i for i in active if rows[i].finish_reason is None]
    return [_generation(row, spec.n_rows) for row in rows]


def _generation(row: _Row, n_rows: int) -> Generation:
    empty = row.prompt.tokens.new_zeros(n_rows, 0)
    frames = torch.stack(row.frames, dim=1) if row.frames else empty
    assert row.finish_reason is not None
    return Generation(frames, row.finish_reason, row.sampler.attempt)
