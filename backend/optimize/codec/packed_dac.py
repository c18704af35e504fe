"""Runs a `FishDAC` from packed weights: channels-last frames, cache-sized tiles, optional bfloat16 decoding.

docs/codecs.md has the measurements behind each choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from backend.codec.dac_layers import DacConvStack, DacDecoderBlock, DacEncoderBlock, DacResidualUnit
from backend.codec.fish_dac import FishDAC
from backend.hardware import current_hardware
from backend.nn.conv import ConvState
from backend.nn.packed_conv import LinearAsConv, PackedConv
from backend.nn.snake import Snake
from backend.nn.transformer import TransformerState
from backend.optimize.base import Support

# Elements of the widest activation in one tile, chosen to fit a core's L2 cache (1 MiB).
TILE_ELEMENTS = 1 << 18
# Long inputs run in parts of this many elements of the widest activation, which bounds memory; the largest weights are
# read once per part.
RUN_ELEMENTS = 1 << 22


class PackedSnake:
    """Snake over frames [B, T, C], written directly into the next convolution's buffer."""

    def __init__(self, snake: Snake):
        self.alpha = snake.alpha.detach().flatten().clone()
        self.inverse = 1.0 / (self.alpha + 1e-9)

    def into(self, out: Tensor, x: Tensor) -> None:
        wave = torch.mul(x, self.alpha).sin_().square_()
        if out.dtype == wave.dtype:
            torch.addcmul(x, wave, self.inverse, out=out)
        else:
            out.copy_(torch.addcmul(x, wave, self.inverse))


def snake_conv(snake: PackedSnake, conv: PackedConv, x: Tensor, state: ConvState) -> Tensor:
    buffer, new_part = conv.buffer_for(x.shape[1], state)
    snake.into(new_part, x)
    return conv.run(buffer, state)


class PackedUnit:
    """A residual unit that adds to its input in place."""

    def __init__(self, unit: DacResidualUnit, dtype: torch.dtype):
        self.snake_in, self.snake_out = PackedSnake(unit.snake_in), PackedSnake(unit.snake_out)
        self.wide, self.narrow = PackedConv.of(unit.wide, dtype), PackedConv.of(unit.narrow, dtype)

    def init_state(self, batch: int) -> ConvState:
        return self.wide.init_state(batch)

    def add(self, x: Tensor, state: ConvState) -> None:
        h = snake_conv(self.snake_in, self.wide, x, state)
        self.snake_out.into(h, h.float())
        # Fusing this addition into the convolution would save half a percent of decoding.
        x += self.narrow.frames(h)


@dataclass(slots=True)
class PackedBlockState:
    rate: ConvState
    units: list[ConvState]
    transformer: TransformerState | None


class PackedBlock:
    """An encoder or decoder block, run in tiles of its wide side."""

    def __init__(self, block: DacEncoderBlock | DacDecoderBlock, dtype: torch.dtype):
        self.is_decoder = isinstance(block, DacDecoderBlock)
        rate = block.up if isinstance(block, DacDecoderBlock) else block.down
        self.stride = rate.stride[0]
        self.snake, self.rate = PackedSnake(block.snake), PackedConv.of(rate, dtype)
        self.units = [PackedUnit(unit, dtype) for unit in block.units]
        self.transformer = None if self.is_decoder else block.transformer
        channels = block.units[0].wide.in_channels
        # A power of two, which packed convolutions run without padding.
        n_frames = 1 << (max(1, TILE_ELEMENTS // channels // self.stride).bit_length() - 1)
        self.tile = n_frames if self.is_decoder else n_frames * self.stride

    def init_state(self, batch: int) -> PackedBlockState:
        transformer = None if self.transformer is None else self.transformer.init_state(batch)
        return PackedBlockState(self.rate.init_state(batch), [u.init_state(batch) for u in self.units], transformer)

    def __call__(self, x: Tensor, state: PackedBlockState) -> Tensor:
        step = self._up if self.is_decoder else self._down
        tiles = [step(tile, state) for tile in x.split(self.tile, dim=1)]
        x = tiles[0] if len(tiles) == 1 else torch.cat(tiles, dim=1)
        if self.transformer is not None:
            x = self.transformer(x.transpose(1, 2), state.transformer).transpose(1, 2)
        return x

    def _up(self, x: Tensor, state: PackedBlockState) -> Tensor:
        return self._through_units(snake_conv(self.snake, self.rate, x, state.rate).float(), state)

    def _down(self, x: Tensor, state: PackedBlockState) -> Tensor:
        return snake_conv(self.snake, self.rate, self._through_units(x.contiguous(), state), state.rate).float()

    def _through_units(self, x: Tensor, state: PackedBlockState) -> Tensor:
        for unit, unit_state in zip(self.units, state.units, strict=True):
            unit.add(x, unit_state)
        return x


@dataclass(slots=True)
class PackedStackState:
    first: ConvState
    blocks: list[PackedBlockState]
    last: ConvState


class PackedStack(nn.Module):
    """Drop-in for `DacEncoder` or `DacDecoder` with packed weights and bounded memory."""

    def __init__(self, stack: DacConvStack, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.is_decoder = isinstance(stack.blocks[0], DacDecoderBlock)
        self.first, self.last = PackedConv.of(stack.first, dtype), PackedConv.of(stack.last, torch.float32)
        self.snake = PackedSnake(stack.snake)
        self.blocks = [PackedBlock(block, dtype) for block in stack.blocks]
        # Registered so that PyTorch sees the transformers' weights and devices.
        self.transformers = nn.ModuleList(b.transformer for b in self.blocks if b.transformer is not None)
        hop = 1
        for block in self.blocks:
            hop *= block.stride
        n_wide = self.last.in_channels if self.is_decoder else self.first.out_channels
        n_frames = 1 << (max(1, RUN_ELEMENTS // (n_wide * hop)).bit_length() - 1)
        self.run_length = n_frames if self.is_decoder else n_frames * hop

    def init_state(self, batch: int) -> PackedStackState:
        blocks = [block.init_state(batch) for block in self.blocks]
        return PackedStackState(self.first.init_state(batch), blocks, self.last.init_state(batch))

    def forward(self, x: Tensor, state: PackedStackState | None = None) -> Tensor:
        state = self.init_state(x.shape[0]) if state is None else state
        outputs = [self._run(part.transpose(1, 2), state) for part in x.split(self.run_length, dim=2)]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=2)

    def _run(self, x: Tensor, state: PackedStackState) -> Tensor:
        x = self.first(x, state.first).float()
        for block, block_state in zip(self.blocks, state.blocks, strict=True):
            x = block(x, block_state)
        y = snake_conv(self.snake, self.last, x, state.last).transpose(1, 2)
        return y.tanh_() if self.is_decoder else y


@dataclass(frozen=True)
class PackedDac:
    """Packs a `FishDAC` for CPU. With bf16 only decoding is in bfloat16: codes equal those of float32."""

    precision: Literal["fp32", "bf16"] = "fp32"

    @property
    def name(self) -> str:
        return f"packed_dac_{self.precision}"

    @property
    def is_exact(self) -> bool:
        """True up to the order of float32 sums."""
        return self.precision == "fp32"

    @property
    def tolerance(self) -> float:
        """Largest difference of any sample of a decoded waveform."""
        return 1e-5 if self.is_exact else 5e-2

    def supported(self, device: torch.device, model: nn.Module) -> Support:
        if not isinstance(model, FishDAC):
            return Support(False, f"supports FishDAC only, not {type(model).__name__}")
        if device.type != "cpu" or not current_hardware().has_onednn:
            return Support(False, "needs a CPU and a PyTorch built with oneDNN")
        if self.precision == "bf16" and not current_hardware().has_bf16_matmul:
            return Support(False, "this CPU has no bfloat16 instructions; fp32 is faster here")
        return Support(True, "oneDNN packed weights")

    def apply(self, model: FishDAC) -> FishDAC:
        """Replaces the layers of `model` with packed ones in place. Earlier states become invalid."""
        reduced = torch.bfloat16 if self.precision == "bf16" else torch.float32
        with torch.no_grad():
            _pack_linears(model.encoder, torch.float32)
            _pack_linears(model.pre_transformer, torch.float32)
            _pack_linears(model.downsample, torch.float32)
            _pack_linears(model.post_transformer, reduced)
            _pack_linears(model.upsample, reduced)
            model.encoder = PackedStack(model.encoder)
            model.decoder = PackedStack(model.decoder, reduced)
        return model


def _pack_linears(module: nn.Module, dtype: torch.dtype) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, LinearAsConv(child, dtype))
        else:
            _pack_linears(child, dtype)
