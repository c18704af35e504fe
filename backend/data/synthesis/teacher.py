"""The interface of a teacher synthesizer, and access to an inner tensor of its network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from backend.data.frame_alignment import DurationUnit
from backend.errors import BadCheckpoint, NotAvailable


@dataclass(frozen=True, slots=True, eq=False)
class TeacherSpeech:
    """Mono `samples` [N] with durations of the leading silence, each symbol, and the trailing silence."""

    samples: np.ndarray
    rate_hz: int
    durations: tuple[int, ...]
    unit: DurationUnit


class Teacher(Protocol):
    """Synthesizes symbols as a named speaker. `symbols` are the supported ones; others would shift its durations."""

    symbols: frozenset[str]
    max_symbols: int

    def speak(self, symbols: str, speaker: str, speed: float) -> TeacherSpeech: ...


def open_network(content: bytes, extra_output: str, threads: int = 1) -> Any:
    """Opens an ONNX session that also returns the inner tensor `extra_output`, as the last output.

    Raises `NotAvailable` without onnxruntime and `BadCheckpoint` for an invalid file.
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
    # onnxruntime's errors have no common base below RuntimeError; some are plain exceptions of its binding.
    except tuple(_session_errors()) as error:
        raise BadCheckpoint(
            f"The teacher's network cannot be loaded ({type(error).__name__}). Check that the file is complete."
        ) from error


def _session_errors() -> list[type[Exception]]:
    from onnxruntime.capi import onnxruntime_pybind11_state as binding

    return [RuntimeError, ValueError, binding.Fail, binding.InvalidGraph, binding.InvalidProtobuf,
            binding.InvalidArgument, binding.NoModel, binding.RuntimeException]  # fmt: skip


def with_output(content: bytes, name: str) -> bytes:
    """Returns an ONNX model's bytes with one more graph output.

    Protobuf merges concatenated messages and joins their lists: a second `graph` (field 7) with only an output (field
    12) called `name` (field 1) adds that output.
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
    """Reads a network file. Raises `BadCheckpoint` if it is missing."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadCheckpoint(f"The network '{path.name}' cannot be read ({error.strerror}). Check the path.") from error
