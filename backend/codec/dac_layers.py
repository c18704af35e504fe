"""The convolutional encoder and decoder of a causal DAC: waveform [B, 1, N] to features [B, D, T] and back.

All weights are plain; loading folds the weight normalization of checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from backend.nn.conv import CausalConv1d, CausalConvTranspose1d, ConvState
from backend.nn.snake import Snake
from backend.nn.transformer import TransformerState, WindowTransformer

DILATIONS = (1, 3, 9)


@dataclass(slots=True)
class DacBlockState:
    """State of a rate-changing convolution, its three residual units, and the transformer of the last encoder block."""

    rate: ConvState
    units: list[ConvState]
    transformer: TransformerState | None = None


@dataclass(slots=True)
class DacConvStackState:
    first: ConvState
    blocks: list[DacBlockState]
    last: ConvState


class DacResidualUnit(nn.Module):
    """x + conv1(snake(conv7(snake(x)))), the wide convolution dilated."""

    def __init__(self, channels: int, dilation: int):
        super().__init__()
        self.snake_in = Snake(channels)
        self.wide = CausalConv1d(channels, channels, 7, dilation=dilation)
        self.snake_out = Snake(channels)
        self.narrow = CausalConv1d(channels, channels, 1)

    def init_state(self, batch: int) -> ConvState:
        return self.wide.init_state(batch)

    def forward(self, x: Tensor, state: ConvState | None = None) -> Tensor:
        return x + self.narrow(self.snake_out(self.wide(self.snake_in(x), state)))


class DacEncoderBlock(nn.Module):
    """Residual units, then a strided convolution that doubles the channels."""

    def __init__(self, channels: int, stride: int, transformer: WindowTransformer | None):
        super().__init__()
        self.units = nn.ModuleList(DacResidualUnit(channels, dilation) for dilation in DILATIONS)
        self.snake = Snake(channels)
        self.down = CausalConv1d(channels, 2 * channels, 2 * stride, stride=stride)
        self.transformer = transformer

    def init_state(self, batch: int) -> DacBlockState:
        transformer = None if self.transformer is None else self.transformer.init_state(batch)
        return DacBlockState(self.down.init_state(batch), [unit.init_state(batch) for unit in self.units], transformer)

    def forward(self, x: Tensor, state: DacBlockState | None = None) -> Tensor:
        for index, unit in enumerate(self.units):
            x = unit(x, None if state is None else state.units[index])
        x = self.down(self.snake(x), None if state is None else state.rate)
        if self.transformer is not None:
            x = self.transformer(x, None if state is None else state.transformer)
        return x


class DacDecoderBlock(nn.Module):
    """A transposed convolution that halves the channels, then residual units."""

    def __init__(self, channels: int, stride: int):
        super().__init__()
        self.snake = Snake(channels)
        self.up = CausalConvTranspose1d(channels, channels // 2, 2 * stride, stride)
        self.units = nn.ModuleList(DacResidualUnit(channels // 2, dilation) for dilation in DILATIONS)

    def init_state(self, batch: int) -> DacBlockState:
        return DacBlockState(self.up.init_state(batch), [unit.init_state(batch) for unit in self.units])

    def forward(self, x: Tensor, state: DacBlockState | None = None) -> Tensor:
        x = self.up(self.snake(x), None if state is None else state.rate)
        for index, unit in enumerate(self.units):
            x = unit(x, None if state is None else state.units[index])
        return x


class DacConvStack(nn.Module):
    """First convolution, blocks, Snake, last convolution."""

    first: CausalConv1d
    blocks: nn.ModuleList
    snake: Snake
    last: CausalConv1d

    def init_state(self, batch: int) -> DacConvStackState:
        blocks = [block.init_state(batch) for block in self.blocks]
        return DacConvStackState(self.first.init_state(batch), blocks, self.last.init_state(batch))

    def forward(self, x: Tensor, state: DacConvStackState | None = None) -> Tensor:
        x = self.first(x, None if state is None else state.first)
        for index, block in enumerate(self.blocks):
            x = block(x, None if state is None else state.blocks[index])
        return self.last(self.snake(x), None if state is None else state.last)


class DacEncoder(DacConvStack):
    """Encodes a waveform [B, 1, T * prod(rates)] as features [B, latent_dim, T].

    `n_transformer_layers` are per block; heads are 64 wide and the hidden layer is 3 times the channels.
    """

    def __init__(
        self, dim: int, rates: tuple[int, ...], latent_dim: int, n_transformer_layers: tuple[int, ...], window: int
    ):
        super().__init__()
        self.first = CausalConv1d(1, dim, 7)
        self.blocks = nn.ModuleList()
        for stride, n_layers in zip(rates, n_transformer_layers, strict=True):
            wide = 2 * dim
            transformer = WindowTransformer(wide, n_layers, wide // 64, 64, 3 * wide, window) if n_layers else None
            self.blocks.append(DacEncoderBlock(dim, stride, transformer))
            dim = wide
        self.snake = Snake(dim)
        self.last = CausalConv1d(dim, latent_dim, 3)


class DacDecoder(DacConvStack):
    """Decodes features [B, latent_dim, T] to a waveform [B, 1, T * prod(rates)] in -1...1."""

    def __init__(self, latent_dim: int, dim: int, rates: tuple[int, ...]):
        super().__init__()
        self.first = CausalConv1d(latent_dim, dim, 7)
        self.blocks = nn.ModuleList(DacDecoderBlock(dim >> index, stride) for index, stride in enumerate(rates))
        dim >>= len(rates)
        self.snake = Snake(dim)
        self.last = CausalConv1d(dim, 1, 7)

    def forward(self, x: Tensor, state: DacConvStackState | None = None) -> Tensor:
        return super().forward(x, state).tanh()
