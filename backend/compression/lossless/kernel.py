"""The compiled cascade, loaded when first used; it says so, since compiling takes a while and is cached afterwards."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from backend.compression.entropy import logistic_tables, range_coder
from backend.compression.lossless.levels import level_of

log = logging.getLogger(__name__)

_SOURCES = ("cascade.py", "least_squares.py", "nlms.py", "residual_model.py", "../entropy/range_coder.py")
_lock = threading.Lock()
_on_compile: list[Callable[[], None]] = []
# Products of least squares stay exact: 20 bits squared, summed over windows of 2**11 samples.
_PRODUCT_BITS = 20
_FAR = 1 << 24


class CodedBlock(NamedTuple):
    """Samples [C, N], the stream (empty where it grew too long), and where in it each 4096 samples begin."""

    samples: np.ndarray
    stream: bytes
    trace: np.ndarray


def code(
    samples: np.ndarray, limits: np.ndarray, level: int, history_shift: int, is_low_rate: bool, stream: bytes | None
) -> CodedBlock:
    """Encode samples [C, N] (C is 1 or 2), or decode as many from `stream`.

    `limits` [C, 2]: least and greatest value of each channel, at most 2**24 apart. A stream longer than the
    samples' own 32 bits is dropped and comes back empty.
    """
    run = _loaded()
    C, n = samples.shape
    pad = 1 + _cascade().PAD
    bases = np.array([low if low < -_FAR or high >= _FAR else 0 for low, high in limits], np.int64)
    near = limits - bases[:, None]
    padded = np.zeros((C, pad + n), np.int32)
    padded[:, pad:] = samples - bases[:, None] if stream is None else 0
    state = np.zeros(range_coder.STATE_SIZE, np.int64)
    if stream is None:
        content = np.zeros(samples.size * 4 + 64, np.uint8)
        range_coder.start_encoder(state)
    else:
        content = np.frombuffer(stream, np.uint8)
        if not content.size:
            content = np.zeros(1, np.uint8)
        range_coder.start_decoder(state, content)
        content = content.copy()
    chosen = level_of(level, is_low_rate)
    bits = int(np.abs(near).max()).bit_length()
    settings = (chosen.own, chosen.cross, chosen.every, max(0, bits - _PRODUCT_BITS), history_shift)
    trace = np.zeros(n // _cascade().TRACE_FRAMES + 1, np.int64)
    arguments = (
        padded, n, np.array(settings, np.int64), np.array(chosen.decays, np.int64), np.array(chosen.filters, np.int64),
        np.array(chosen.steps, np.int64), np.array(chosen.parts, np.int64), near, stream is not None, state,
        content, trace, *_tables(),
    )  # fmt: skip
    if not run.signatures:
        _compile(run, arguments)
    n_bytes = run(*arguments)
    coded = content[:n_bytes].tobytes() if stream is None and n_bytes <= content.size else b""
    return CodedBlock((padded[:, pad:] + bases[:, None]).astype(np.int32), coded, trace)


def on_compile(notify: Callable[[], None]) -> None:
    """Call `notify` once, before the cascade is compiled; never where it comes from the cache."""
    _on_compile.append(notify)


@lru_cache(maxsize=1)
def _tables() -> tuple[np.ndarray, ...]:
    rates = np.array([max(655360 // (10 * i + 16), 410) for i in range(256)], np.int64)
    squash, stretch = logistic_tables.squash().astype(np.int64), logistic_tables.stretch().astype(np.int64)
    return logistic_tables.logistic_cdf(), squash, stretch, rates


def _cascade() -> Any:
    """The module of the compiled loop; importing it loads numba, which takes a second."""
    from backend.compression.lossless import cascade

    return cascade


def _compile(run: Any, arguments: tuple) -> None:
    """Compile for these arguments, or load it from the cache, in one thread while others wait."""
    import numba
    from numba.core import event

    class Announcement(event.Listener):
        def on_start(self, event: Any) -> None:
            if _on_compile:
                log.info("compiling the lossless coder, once for this machine")
            while _on_compile:
                _on_compile.pop()()

        def on_end(self, event: Any) -> None:
            pass

    with _lock:
        if not run.signatures:
            with event.install_listener("numba:compile", Announcement()):
                run.compile(tuple(numba.typeof(argument) for argument in arguments))


@lru_cache(maxsize=1)
def _loaded() -> Any:
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update((folder / name).read_bytes())
    return _cascade().build(digest.hexdigest())
