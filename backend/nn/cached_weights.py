"""Caches values computed from weights while a module is in eval mode."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class DerivedInEval(nn.Module):
    """A module with one value derived from its weights: recomputed in training, cached in eval mode.

    The cache is cleared by `train`, `eval`, `to` and `load_state_dict`. Code that writes weights in place in any other
    way must call `forget_derived`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._derived: Any = None
        self.register_load_state_dict_post_hook(_forget_after_load)

    def derive(self) -> Any:
        raise NotImplementedError

    def derived(self) -> Any:
        """Returns the derived value, without gradients."""
        if self._derived is not None:
            return self._derived
        with torch.no_grad():
            derived = self.derive()
        if not self.training:
            self._derived = derived
        return derived

    def forget_derived(self) -> None:
        self._derived = None

    def train(self, mode: bool = True) -> Any:
        self.forget_derived()
        return super().train(mode)

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        self.forget_derived()
        return super()._apply(*args, **kwargs)


def _forget_after_load(module: nn.Module, _: Any) -> None:
    assert isinstance(module, DerivedInEval), type(module)
    module.forget_derived()
