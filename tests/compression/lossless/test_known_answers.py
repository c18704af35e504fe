"""Stored `.pgl` files decode to the same bytes, and are written the same, on every processor."""

import io
import os
import subprocess
import sys

import pytest

from backend.compression.lossless import blocks
from backend.compression.lossless.stream import compress, decompress
from tests.support.known_pgl import LEVELS, known_sounds
from tests.support.repository import ROOT

FOLDER = ROOT / "tests" / "golden" / "lossless"
SOUNDS = known_sounds()
CASES = [(name, level) for name in SOUNDS for level in LEVELS]


@pytest.mark.parametrize(("name", "level"), CASES)
def test_stored_files_decode_to_the_known_sounds(name, level):
    target = io.BytesIO()
    decompress(io.BytesIO((FOLDER / f"{name}-{level}.pgl").read_bytes()), target, n_workers=1 + level % 2)
    assert target.getvalue() == SOUNDS[name]


@pytest.mark.parametrize(("name", "level"), CASES)
def test_the_known_sounds_are_written_as_stored(name, level, monkeypatch):
    # FLAC's own bytes change with its version; the cascade's must not.
    monkeypatch.setattr(blocks, "_is_flac_able", lambda layout: False)
    target = io.BytesIO()
    compress(io.BytesIO(SOUNDS[name]), target, level=level, block_frames=1500, is_verified=False)
    assert target.getvalue() == (FOLDER / f"{name}-{level}.pgl").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("cpu", ["generic", "plain"])
def test_other_processors_decode_the_same(cpu, tmp_path):
    options = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""} if cpu == "generic" else {"NUMBA_OPT": "0"}
    environment = dict(os.environ, **options, NUMBA_CACHE_DIR=str(tmp_path), ATEN_CPU_CAPABILITY="default")
    arguments = [__file__ + "::test_stored_files_decode_to_the_known_sounds"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
