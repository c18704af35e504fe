"""Registry of benchmark cases: modules with a one-line docstring and `run() -> list[dict]`, one dict per row."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

CASES: dict[str, str] = {
    "limits": "benchmarks.limits",
    "service": "benchmarks.service",
    "faults": "benchmarks.faults",
    "container": "benchmarks.container",
    "soundstream": "benchmarks.soundstream",
    "spectral": "benchmarks.spectral",
    "band-codecs": "benchmarks.band_codecs",
    "fish_dac": "benchmarks.fish_dac",
    "lm-s1-mini-cpu": "benchmarks.lm_s1_mini",
    "lm-s1-mini-cuda": "benchmarks.lm_s1_mini_cuda",
    "voice-frame": "benchmarks.voice_frame",
    "s1-mini-speech": "benchmarks.s1_mini_speech",
    "replica": "benchmarks.replica",
}


def description(name: str) -> str:
    """Returns the first line of a case's docstring, without importing the case."""
    spec = find_spec(CASES[name])
    assert spec is not None and spec.origin is not None, name
    docstring = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
    return docstring.split("\n")[0]
