"""Importing is quick and changes nothing: checked in fresh processes."""

import json
import subprocess
import sys

import pytest

from tests.support.repository import ROOT, imports_of, module_name, python_files

# Packages of the extras: a module that needs one may be absent from a smaller installation.
OPTIONAL = {"ray", "lightning", "hydra", "omegaconf", "tensorboard", "gradio", "streamlit"}

SIDE_EFFECTS = """
import importlib, json, logging, os, sys
outside, ours = json.loads(sys.argv[1])
for name in outside:
    try:
        importlib.import_module(name)
    except ImportError:
        pass
import torch

def state():
    root = logging.getLogger()
    return {
        "environment": dict(os.environ),
        "log level": root.level,
        "log handlers": [repr(handler) for handler in root.handlers],
        "torch threads": torch.get_num_threads(),
        "default dtype": str(torch.get_default_dtype()),
        "gradients": torch.is_grad_enabled(),
        "seed": torch.initial_seed(),
        "working directory": os.getcwd(),
        "threads": __import__("threading").active_count(),
    }

before, blamed = state(), {}
for name in ours:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        print("missing", error.name, "for", name, file=sys.stderr)
        if (error.name or "").partition(".")[0] not in json.loads(sys.argv[2]):
            raise
    after = state()
    changed = [key for key in before if before[key] != after[key]]
    if changed:
        blamed[name], before = changed, after
print(json.dumps(blamed))
"""


def run_python(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def loaded_after(module: str) -> set[str]:
    """Top names of the modules in memory after importing `module`, and the full names of ours."""
    names = json.loads(run_python(f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"))
    return {name for name in names if name.startswith("backend")} | {name.partition(".")[0] for name in names}


@pytest.mark.parametrize(
    ("module", "banned"),
    [
        ("backend", {"torch", "numpy", "fastapi", "pydantic"}),
        ("backend.settings", {"torch", "fastapi"}),
        ("backend.app", {"torch", "backend.training", "gradio", "streamlit", "lightning"}),
        ("ui.client", {"torch", "backend", "gradio", "streamlit"}),
    ],
)
def test_importing_does_not_drag_in(module, banned):
    assert not loaded_after(module) & banned


def test_importing_any_module_changes_nothing_outside_it():
    ours = [module_name(path) for path in python_files("backend") if path.stem != "__main__"]
    outside = {name for path in python_files("backend") for name in imports_of(path) if not name.startswith("backend")}
    # What a library changes when it loads is the library's doing: load those first.
    out = run_python(SIDE_EFFECTS, json.dumps([sorted(outside), ours]), json.dumps(sorted(OPTIONAL)))
    assert json.loads(out.splitlines()[-1]) == {}
