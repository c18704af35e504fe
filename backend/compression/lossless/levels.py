"""The nine levels of the cascade. They are part of the bit stream: a change of any number here is a new ARITHMETIC."""

from __future__ import annotations

from dataclasses import dataclass, replace

ARITHMETIC = 1
DEFAULT_LEVEL = 5
LEVELS = range(1, 10)


# Components of the mixture: center (0 last stage, 1 sum of the chain, 2 least squares), memory of its misses
# (0 short, 1 long), scale in 1/256 of the expected one.
_FEW_PARTS = ((0, 0, 256), (0, 1, 160), (0, 1, 360))
_PARTS = ((0, 0, 256), (0, 1, 128), (0, 1, 300), (1, 1, 220), (2, 1, 220))


@dataclass(frozen=True, slots=True)
class CompressionLevel:
    """Least squares over `own` samples of a channel and `cross` of its partner, solved once in `every` samples.

    `decays`: shifts by which lag sums decay at each solution, one a window. `filters`: taps of the NLMS chain;
    `steps`: their step sizes in 1/65536. `parts`: the components of the mixture.
    """

    own: int
    cross: int
    every: int
    decays: tuple[int, ...]
    filters: tuple[int, ...]
    steps: tuple[int, ...]
    parts: tuple[tuple[int, int, int], ...] = _PARTS


_STEPS = (1000, 1000, 1500)
_TABLE = {
    1: CompressionLevel(16, 8, 256, (3,), (16,), (1500,), _FEW_PARTS),
    2: CompressionLevel(16, 8, 128, (4,), (32, 16), (1500, 2000), _FEW_PARTS),
    3: CompressionLevel(16, 8, 128, (4,), (256, 16), (1000, 1500), _FEW_PARTS),
    4: CompressionLevel(16, 8, 64, (2, 5), (256, 32, 16), _STEPS),
    5: CompressionLevel(24, 12, 128, (1, 4, 6), (1024, 256, 16), _STEPS),
    6: CompressionLevel(24, 12, 64, (2, 5, 7), (1024, 256, 16), _STEPS),
    7: CompressionLevel(24, 12, 64, (1, 3, 5, 7), (1024, 256, 16), _STEPS),
    8: CompressionLevel(24, 12, 32, (2, 4, 6, 8), (1024, 256, 16), _STEPS),
    9: CompressionLevel(32, 16, 32, (2, 4, 6, 8), (1024, 256, 32, 16), (*_STEPS, 1500)),
}
# At low rates long filters learn too slowly.
_LOW_RATE_FILTERS = {1024: 256, 256: 32}


def level_of(number: int, is_low_rate: bool) -> CompressionLevel:
    """The settings of a level for rates of 30 kHz and more, or lower ones."""
    level = _TABLE[number]
    if is_low_rate and level.filters[0] == 1024:
        return replace(level, filters=tuple(_LOW_RATE_FILTERS.get(n, n) for n in level.filters))
    return level
