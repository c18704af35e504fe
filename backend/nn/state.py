"""Streaming state: plain dataclasses of preallocated tensors, batch first, passed as arguments.

The fields of a state are tensors [B, ...], ints, other states, or lists of states.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor


def state_tensors(state: Any) -> Iterator[Tensor]:
    """Yields every tensor of a state, depth first."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, list | tuple):
        for item in state:
            yield from state_tensors(item)
    elif is_dataclass(state):
        for field in fields(state):
            yield from state_tensors(getattr(state, field.name))


def state_bytes(state: Any) -> int:
    """Returns the memory of a state in bytes."""
    return sum(tensor.numel() * tensor.element_size() for tensor in state_tensors(state))


def zero_rows(state: Any, rows: Tensor | None = None) -> None:
    """Zeros all tensors of a state, or only the batch rows where the boolean `rows` [B] is true."""
    with torch.no_grad():
        for tensor in state_tensors(state):
            if rows is None:
                tensor.zero_()
            else:
                tensor[rows] = 0
