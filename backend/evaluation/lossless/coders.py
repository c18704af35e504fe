"""Lossless coders as programs and as ours: each turns a WAV file into a smaller one and back."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backend.evaluation.baselines.subprocess_codec import run_program

PHONOGRAM = "phonogram-"


@dataclass(frozen=True, slots=True)
class LosslessCoder:
    """`encode` and `decode` write their second file from the first; programs insist on their own `suffix`."""

    name: str
    encode: Callable[[Path, Path], None]
    decode: Callable[[Path, Path], None]
    suffix: str = ".pgl"


_OFR_ENCODE = ("--encode", "--preset", "max", "{0}", "--output", "{1}")
_OFR_DECODE = ("--decode", "{0}", "--output", "{1}")
# Name, program, the package that usually holds it, arguments to encode and decode; {0} is the input, {1} the output.
_PROGRAMS: tuple[tuple[str, str, str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("flac-5", "flac", "flac", ("-5", "-s", "-f", "--no-padding", "-o", "{1}", "{0}"), ("-d", "-s", "-f", "-o", "{1}", "{0}")),
    ("flac-8", "flac", "flac", ("-8", "-s", "-f", "--no-padding", "-o", "{1}", "{0}"), ("-d", "-s", "-f", "-o", "{1}", "{0}")),
    ("flac-8ep", "flac", "flac", ("-8ep", "-s", "-f", "--no-padding", "-o", "{1}", "{0}"), ("-d", "-s", "-f", "-o", "{1}", "{0}")),
    ("wavpack-hhx6", "wavpack", "wavpack", ("-hhx6", "-q", "-y", "{0}", "-o", "{1}"), ()),
    ("ape-c4000", "mac", "Monkey's Audio", ("{0}", "{1}", "-c4000"), ("{0}", "{1}", "-d")),
    ("optimfrog-max", "ofr", "OptimFROG", _OFR_ENCODE, _OFR_DECODE),
)  # fmt: skip
_SUFFIXES = {"flac": ".flac", "wavpack": ".wv", "mac": ".ape", "ofr": ".ofr"}
_WAVPACK_DECODE = ("-q", "-y", "{0}", "-o", "{1}")


def open_coders(levels: list[int]) -> tuple[list[LosslessCoder], dict[str, str]]:
    """The coders on this machine, ours at `levels` last, and why others are absent."""
    found, absent = [], {}
    for name, program, package, encode, decode in _PROGRAMS:
        path = shutil.which(program)
        decoder = shutil.which("wvunpack") if program == "wavpack" else path
        if path is None or decoder is None:
            absent[name] = f"The program {program} is not on this machine. Install {package}."
            continue
        suffix = _SUFFIXES[program]
        found.append(LosslessCoder(name, _program(path, encode), _program(decoder, decode or _WAVPACK_DECODE), suffix))
    return [*found, *(_ours(level) for level in levels)], absent


def timed(work: Callable[[Path, Path], None], source: Path, target: Path) -> tuple[float, float]:
    """Wall and processor seconds, of this process and its children."""
    wall, used = time.perf_counter(), _processor_s()
    work(source, target)
    return time.perf_counter() - wall, _processor_s() - used


def _processor_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _program(path: str, arguments: tuple[str, ...]) -> Callable[[Path, Path], None]:
    def run(source: Path, target: Path) -> None:
        run_program([path, *(item.format(source, target) for item in arguments)], target.parent)

    return run


def _ours(level: int) -> LosslessCoder:
    from backend.pipeline.lossless.compress import compress_file, decompress_file

    def encode(source: Path, target: Path) -> None:
        compress_file(source, target, level=level, is_verified=False, n_workers=1, is_overwrite=True)

    def decode(source: Path, target: Path) -> None:
        decompress_file(source, target, n_workers=1, is_overwrite=True)

    return LosslessCoder(f"{PHONOGRAM}{level}", encode, decode)
