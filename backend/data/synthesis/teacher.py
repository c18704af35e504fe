"""What a synthesizer that is learned from must offer, and reading one tensor more out of its network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from backend.data.frame_alignment import DurationUnit
from backend.errors import BadCheckpoint, NotAvailable


@dataclass(frozen=True, slots=True, eq=False)
class TeacherSpeech:
    """Mono `samples` [N] with the duration of the silence before, each symbol, and the silence after."""

    samples: np.ndarray
    rate_hz: int
    durations: tuple[int, ...]
    unit: DurationUnit


class Teacher(Protocol):
    """Speaks symbols as a named speaker. `symbols` are those it knows; others would shift its durations."""

    symbols: frozenset[str]
    max_symbols: int

    def speak(self, symbols: str, speaker: str, speed: float) -> TeacherSpeech: ...


def open_network(content: bytes, extra_output: str, threads: int = 1) -> Any:
    """An ONNX session that also returns the inner tensor `extra_output`, last.

    Raises `NotAvailable` without onnxruntime and `BadCheckpoint` for a file that is no such network.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise NotAvailable("The package onnxruntime is needed to run a teacher. Install it.") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            with_output(content, extra_output), options, providers=["CPUExecutionProvider"]
        )
    # The library's errors have no common base below RuntimeError; some are plain exceptions of its binding.
    except tuple(_session_errors()) as error:
        raise BadCheckpoint(
            f"The teacher's network cannot be loaded ({type(error).__name__}). Check that the file is whole."
        ) from error


def _session_errors() -> list[type[Exception]]:
    from onnxruntime.capi import onnxruntime_pybind11_state as binding

    return [RuntimeError, ValueError, binding.Fail, binding.InvalidGraph, binding.InvalidProtobuf,
            binding.InvalidArgument, binding.NoModel, binding.RuntimeException]  # fmt: skip


def with_output(content: bytes, name: str) -> bytes:
    """The bytes of an ONNX model with one more graph output.

    Serialized messages that follow one another are merged, and lists in them joined: a second `graph` (field 7) with
    nothing but an output (field 12) called `name` (field 1) adds that output.
    """
    return content + _field(7, _field(12, _field(1, name.encode())))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def read_network(path: Path) -> bytes:
    """The file of a network. Raises `BadCheckpoint` if it is not there."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadCheckpoint(f"The network '{path.name}' cannot be read ({error.strerror}). Check the path.") from error
