"""The slow stack's step for the first slots of a state, over memory that never moves."""

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

# Lines of what is sent: which slots speak; for every slot its position and where it writes; its side ids.
ROWS, POSITION, PLACE, SIDE = range(4)


class CudaGraphStep(CapturedGraph[StepOutput]):
    """Slot i is row i of every tensor. It reads and writes the state's own keys and values: nothing is gathered.

    A slot that does not speak is computed along with the others, as if it were new, and writes to the spare place
    behind the longest past: whatever it holds stays as it is, were it full, half read or empty.
    """

    def __init__(self, lm: DualAR, state: DualARState, n_slots: int, capacity: int, has_side: bool):
        slow, spec, device = state.slow, lm.spec, lm.device
        self.lm, self.n_slots, self.capacity = lm, n_slots, capacity
        self.keys, self.values, self.waves, self.conditioning = slow.keys, slow.values, slow.table, state.conditioning
        self.n_side = spec.n_side if has_side else 0
        self.frames = torch.zeros(n_slots, spec.n_rows, dtype=torch.long, device=device)
        self.sent = PinnedInput(SIDE + self.n_side, n_slots, torch.long, device)
        self.slots = torch.arange(n_slots, device=device)
        self.places = torch.arange(capacity, device=device)
        self._silence()
        self.sent.send()

    def load(self, frames: Tensor, lengths: Sequence[int], rows: list[int], side: Tensor | None) -> None:
        """What the next run tells `rows` [n], whose frames [n, R] and side ids [n, n_side] are given."""
        n, sent = len(rows), self.sent
        sent.open()
        self._silence()
        sent.values[ROWS, :n] = rows
        sent.values[POSITION : PLACE + 1, rows] = [lengths[row] for row in rows]
        is_here = side is not None and side.device.type == "cpu"
        if side is not None and is_here:
            sent.values[SIDE:, rows] = side.numpy().T
        sent.send()
        index = sent.tensor[ROWS, :n]
        if side is not None and not is_here:
            sent.tensor[SIDE:].index_copy_(1, index, side.T)
        self.frames.index_copy_(0, index, frames)

    def _silence(self) -> None:
        """Nobody speaks."""
        self.sent.values[POSITION], self.sent.values[PLACE] = 0, self.keys.shape[3] - 1

    def run(self, rows: list[int]) -> StepOutput:
        """What `rows` think of their next frame, in tensors of its own."""
        out = self.replay()
        index = self.sent.tensor[ROWS, : len(rows)]

        def of(values: Tensor) -> Tensor:
            return values.index_select(0, index)

        return StepOutput(of(out.logits), of(out.hidden), {name: of(values) for name, values in out.aux.items()})

    def compute(self) -> StepOutput:
        lm, sent = self.lm, self.sent.tensor
        conditioning = None if self.conditioning is None else self.conditioning[: self.n_slots, None]
        side = sent[SIDE:].T[:, None] if self.n_side else None
        x = lm.embed(self.frames[:, :, None], side, conditioning, is_scaled=True)[:, 0]
        table = RopeTable(*(wave[sent[POSITION]] for wave in self.waves))
        attend = self._attend()
        for index, layer in enumerate(lm.layers):
            x = layer(x, table, attend, index)
        return lm.output_of(x)

    def _attend(self) -> Callable[[int, Tensor, Tensor, Tensor], Tensor]:
        position, place = self.sent.tensor[POSITION], self.sent.tensor[PLACE]
        is_past = self.places <= position[:, None, None, None]
        # Of numbers, once: of booleans every layer would make them again.
        mask = torch.zeros_like(is_past, dtype=self.keys.dtype).masked_fill_(~is_past, -torch.inf)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = self.keys[layer, : self.n_slots], self.values[layer, : self.n_slots]
            keys[self.slots, :, place] = k.to(keys.dtype)
            values[self.slots, :, place] = v.to(values.dtype)
            # The heads that share keys, as if they were queries.
            grouped = q.unflatten(1, (k.shape[1], -1)).to(keys.dtype)
            past_keys, past_values = keys[:, :, : self.capacity], values[:, :, : self.capacity]
            return F.scaled_dot_product_attention(grouped, past_keys, past_values, mask).flatten(1, 2).to(q.dtype)

        return attend
