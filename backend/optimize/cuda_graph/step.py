"""The slow stack's step for the first slots of a state, over fixed memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.lm.spec import StepOutput
from backend.nn.rope import RopeTable
from backend.optimize.cuda_graph.capture import CapturedGraph, PinnedInput

if TYPE_CHECKING:
    from backend.lm.dual_ar import DualAR, DualARState

# Input fields: the active slots; each slot's position and write index; its side ids.
ROWS, POSITION, WRITE_INDEX, SIDE = range(4)


class CudaGraphStep(CapturedGraph[StepOutput]):
    """Slot i is row i of every tensor, and the state's own cache is used without gathering.

    Inactive slots are computed like empty ones and write to the spare position after the longest past, so their cached
    content is unchanged.
    """

    def __init__(self, lm: DualAR, state: DualARState, n_slots: int, capacity: int, has_side: bool):
        slow, spec, device = state.slow, lm.spec, lm.device
        self.lm, self.n_slots, self.capacity = lm, n_slots, capacity
        self.keys, self.values, self.rope, self.conditioning = slow.keys, slow.values, slow.table, state.conditioning
        self.n_side = spec.n_side if has_side else 0
        self.frames = torch.zeros(n_slots, spec.n_rows, dtype=torch.long, device=device)
        self.inputs = PinnedInput(SIDE + self.n_side, n_slots, torch.long, device)
        self.slots = torch.arange(n_slots, device=device)
        self.cache_positions = torch.arange(capacity, device=device)
        self._deactivate_all()
        self.inputs.send()

    def load(self, frames: Tensor, lengths: Sequence[int], rows: list[int], side: Tensor | None) -> None:
        """Writes the inputs of the next run: frames [n, R] and side ids [n, n_side] of `rows` [n]."""
        n, inputs = len(rows), self.inputs
        inputs.wait()
        self._deactivate_all()
        inputs.values[ROWS, :n] = rows
        inputs.values[POSITION : WRITE_INDEX + 1, rows] = [lengths[row] for row in rows]
        is_on_host = side is not None and side.device.type == "cpu"
        if side is not None and is_on_host:
            inputs.values[SIDE:, rows] = side.numpy().T
        inputs.send()
        index = inputs.tensor[ROWS, :n]
        if side is not None and not is_on_host:
            inputs.tensor[SIDE:].index_copy_(1, index, side.T)
        self.frames.index_copy_(0, index, frames)

    def _deactivate_all(self) -> None:
        self.inputs.values[POSITION], self.inputs.values[WRITE_INDEX] = 0, self.keys.shape[3] - 1

    def run(self, rows: list[int]) -> StepOutput:
        """Returns new tensors with the outputs of `rows`."""
        out = self.replay()
        index = self.inputs.tensor[ROWS, : len(rows)]

        def select(values: Tensor) -> Tensor:
            return values.index_select(0, index)

        return StepOutput(
            select(out.logits), select(out.hidden), {name: select(values) for name, values in out.aux.items()}
        )

    def compute(self) -> StepOutput:
        lm, inputs = self.lm, self.inputs.tensor
        conditioning = None if self.conditioning is None else self.conditioning[: self.n_slots, None]
        side = inputs[SIDE:].T[:, None] if self.n_side else None
        x = lm.embed(self.frames[:, :, None], side, conditioning, is_scaled=True)[:, 0]
        table = RopeTable(*(wave[inputs[POSITION]] for wave in self.rope))
        attend = self._attend()
        for index, layer in enumerate(lm.layers):
            x = layer(x, table, attend, index)
        return lm.output_of(x)

    def _attend(self) -> Callable[[int, Tensor, Tensor, Tensor], Tensor]:
        position, write_index = self.inputs.tensor[POSITION], self.inputs.tensor[WRITE_INDEX]
        is_past = self.cache_positions <= position[:, None, None, None]
        # A float mask, converted once: each layer would convert a boolean one.
        mask = torch.zeros_like(is_past, dtype=self.keys.dtype).masked_fill_(~is_past, -torch.inf)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = self.keys[layer, : self.n_slots], self.values[layer, : self.n_slots]
            keys[self.slots, :, write_index] = k.to(keys.dtype)
            values[self.slots, :, write_index] = v.to(values.dtype)
            # Heads that share keys become extra queries.
            grouped = q.unflatten(1, (k.shape[1], -1)).to(keys.dtype)
            past_keys, past_values = keys[:, :, : self.capacity], values[:, :, : self.capacity]
            return F.scaled_dot_product_attention(grouped, past_keys, past_values, mask).flatten(1, 2).to(q.dtype)

        return attend
