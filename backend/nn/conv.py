"""Causal convolutions whose output is the same for a whole sequence and for chunks.

The left context is zeros at the start of a stream and the state afterwards. `state=None` means the whole sequence.
Inputs are [B, C, T].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Up to this input size, CPU uses a matrix product: PyTorch runs short dilated convolutions in a loop over channels. The
# 16-channel SoundStream streams single frames at 3.4 instead of 2.6 times real time on one core; above 60 000 elements
# the product is slower.
_SHORT = 20_480


@dataclass(slots=True)
class ConvState:
    past: Tensor  # [B, C, context], or [B, context, C] in layers over frames: inputs of the next output


class CausalConv1d(nn.Conv1d):
    """A causal convolution: output t depends on inputs up to (t + 1) * stride - 1.

    T must be a multiple of `stride`; the output has T / stride frames.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1,
        dilation: int = 1, groups: int = 1, bias: bool = True,
    ):  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride=stride, dilation=dilation, groups=groups, bias=bias
        )
        self.context = (kernel_size - 1) * dilation + 1 - stride
        if self.context < 0:
            raise ValueError(f"kernel {kernel_size} with dilation {dilation} is shorter than stride {stride}")

    def init_state(self, batch: int) -> ConvState:
        weight = self.weight
        return ConvState(weight.new_zeros(batch, self.in_channels, self.context))

    def forward(self, x: Tensor, state: ConvState | None = None) -> Tensor:
        if self.context:
            if state is None:
                x = F.pad(x, (self.context, 0))
            else:
                x = torch.cat([state.past, x], dim=2)
                state.past.copy_(x[:, :, x.shape[2] - self.context :])
        if x.numel() <= _SHORT and x.device.type == "cpu" and self.groups == 1 and not torch.is_grad_enabled():
            return self._as_product(x)
        return super().forward(x)

    def _as_product(self, x: Tensor) -> Tensor:
        """Computes the convolution of [B, C, T] as one matrix product over a copy of its windows."""
        (kernel_size,), (stride,), (dilation,) = self.kernel_size, self.stride, self.dilation
        n_out = (x.shape[2] - (kernel_size - 1) * dilation - 1) // stride + 1
        over_batch, over_channels, over_time = x.stride()
        windows = x.as_strided(
            (x.shape[0], x.shape[1], kernel_size, n_out),
            (over_batch, over_channels, dilation * over_time, stride * over_time),
            x.storage_offset(),
        )
        y = torch.matmul(self.weight.flatten(1), windows.reshape(x.shape[0], -1, n_out))
        return y if self.bias is None else y.add_(self.bias[:, None])


class CausalConvTranspose1d(nn.ConvTranspose1d):
    """A causal transposed convolution: emits T * stride samples and keeps the overlap tail in the state.

    Cropping the right `kernel - stride` samples makes outputs from t * stride on depend on inputs <= t only.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int, groups: int = 1, bias: bool = True
    ):
        super().__init__(in_channels, out_channels, kernel_size, stride=stride, groups=groups, bias=bias)
        self.overlap = kernel_size - stride
        if self.overlap < 0:
            raise ValueError(f"kernel {kernel_size} is shorter than stride {stride}")

    def init_state(self, batch: int) -> ConvState:
        return ConvState(self.weight.new_zeros(batch, self.out_channels, self.overlap))

    def forward(self, x: Tensor, state: ConvState | None = None) -> Tensor:  # type: ignore[override]
        n_out = x.shape[2] * self.stride[0]
        if state is None or not self.overlap:
            y = F.conv_transpose1d(x, self.weight, self.bias, self.stride, groups=self.groups)
            return y[:, :, :n_out]
        # Add the bias after storing the tail, otherwise it would count twice where frames overlap.
        y = F.conv_transpose1d(x, self.weight, None, self.stride, groups=self.groups)
        y[:, :, : self.overlap] += state.past
        state.past.copy_(y[:, :, n_out:])
        y = y[:, :, :n_out]
        return y if self.bias is None else y + self.bias[:, None]
