"""Loading a 16-bit model keeps no second copy of its weights; measured in a subprocess."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from backend.lm.config import DualARConfig
from backend.lm.dual_ar import DualAR
from backend.weights.fish_lm import published_shapes
from tests.support.repository import ROOT
from tests.support.tiny_lm import CONFIGS, SHARED

STATUS = Path("/proc/self/status")
TINY = {**SHARED, **CONFIGS["s1"]}
SIZABLE = {
    **TINY, "dim": 512, "n_head": 8, "n_local_heads": 8, "n_layer": 12, "intermediate_size": 2048, "head_dim": 64,
}  # fmt: skip
# The tiny model first, so that one-time costs are not counted.
LOADING = """
import json, sys
from pathlib import Path
from safetensors.torch import load_file
from backend.lm.config import DualARConfig
from backend.weights.fish_lm import dual_ar_from_tensors

def held_mb(what):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024

for path in sys.argv[1:]:
    config = DualARConfig.from_dict(json.loads(Path(path).with_suffix(".json").read_text()))
    before_mb = held_mb("VmRSS")
    lm = dual_ar_from_tensors(config, load_file(path))
print(json.dumps([held_mb("VmHWM") - before_mb, sum(p.numel() * p.element_size() for p in lm.parameters()) / 2**20]))
"""


def write_model(path, raw):
    with torch.device("meta"):
        shapes = published_shapes(DualAR(DualARConfig.from_dict(raw)))
    save_file({name: torch.zeros(tensor.shape, dtype=torch.bfloat16) for name, tensor in shapes.items()}, path)
    path.with_suffix(".json").write_text(json.dumps(raw))
    return path


@pytest.mark.skipif(not STATUS.exists(), reason="needs /proc/self/status for the peak memory")
def test_loading_holds_the_file_and_the_weights_once(tmp_path):
    tiny, path = write_model(tmp_path / "tiny.safetensors", TINY), write_model(tmp_path / "model.safetensors", SIZABLE)
    command = [sys.executable, "-c", LOADING, str(tiny), str(path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    peak_mb, resident_mb = json.loads(run.stdout)
    file_mb = path.stat().st_size / 2**20
    assert file_mb > 100, "too small to measure"
    # Mapped file pages can be evicted, but they count here.
    assert peak_mb <= 1.05 * (resident_mb + file_mb), f"{peak_mb:.0f} MB for {resident_mb:.0f} of {file_mb:.0f}"
