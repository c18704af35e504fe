"""Dependencies are declared once, used, and above the versions with known holes."""

import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.support.repository import ROOT, imports_of, python_files

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
# docs/security.md says what each floor closes.
FLOORS = {"starlette": "1.3.1", "python-multipart": "0.0.22", "gradio": "6.7"}
# What is installed must not be older either; torch is pinned above its floor, h11 comes with uvicorn.
INSTALLED_FLOORS = {**FLOORS, "torch": "2.10", "h11": "0.16"}

# Declared but imported by nobody here: these are run as programs, or by a library that looks for them.
RUN_OR_LOOKED_FOR = {
    "uvicorn",
    "python-multipart",
    "starlette",
    "tensorboard",
    "ruff",
    "mypy",
    "pre-commit",
    "pytest-xdist",
}

# Declared ahead of the part that needs it.
AWAITED = {"numpy", "safetensors", "soundfile", "av", "soxr", "pyloudnorm", "typer", "rich"}
AWAITED |= {"lightning", "hydra-core", "omegaconf"}


def normal(name: str) -> str:
    return name.lower().replace("_", "-")


def test_requirements_txt_equals_core_pages_and_card():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    listed = [line for line in lines if line and not line.startswith("#")]
    assert listed == PROJECT["dependencies"] + EXTRAS["ui"] + EXTRAS["gpu"]


def test_torch_is_pinned_once_for_all():
    launcher = (ROOT / "launcher" / "wheels.py").read_text(encoding="utf-8")
    pinned = [line for line in PROJECT["dependencies"] if line.startswith("torch")]
    assert pinned == ["torch==2.13.0"]
    assert f'TORCH = "{pinned[0]}"' in launcher


@pytest.mark.parametrize("name", FLOORS)
def test_floor_excludes_versions_with_known_holes(name):
    lines = PROJECT["dependencies"] + [line for extra in EXTRAS.values() for line in extra]
    found = [Requirement(line) for line in lines if Requirement(line).name == name]
    assert found
    assert all(f">={FLOORS[name]}" in str(requirement.specifier) for requirement in found)


@pytest.mark.parametrize("name", INSTALLED_FLOORS)
def test_what_is_installed_has_no_known_hole(name):
    assert Version(metadata.version(name)) >= Version(INSTALLED_FLOORS[name])


def test_every_direct_dependency_has_its_reason_above_it():
    block = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = block[block.index("dependencies = [") : block.index("[project.scripts]")]
    reason_open = False
    for line in map(str.strip, block.splitlines()):
        if line.startswith("#"):
            reason_open = True
        elif line.startswith('"'):
            assert reason_open, f"no reason for {line}"
        else:
            reason_open = False


def test_everything_imported_is_declared():
    provided_by = metadata.packages_distributions()
    lines = PROJECT["dependencies"] + [line for extra in EXTRAS.values() for line in extra]
    declared = {normal(Requirement(line).name) for line in lines}
    for path in python_files("backend", "ui"):
        for name in {name.partition(".")[0] for name in imports_of(path)} - {"backend", "ui"}:
            if name in sys.stdlib_module_names or name not in provided_by:
                continue  # a module of an extra that is not installed: its importer is checked where it is
            owners = set(map(normal, provided_by[name]))
            assert owners & declared, f"{path} imports {name}, of {owners}: declare it in pyproject.toml"


def test_every_dependency_is_used():
    provided_by = metadata.packages_distributions()
    used = {name.partition(".")[0] for path in python_files() for name in imports_of(path)}
    for line in PROJECT["dependencies"] + EXTRAS["ui"] + EXTRAS["train"] + EXTRAS["dev"]:
        name = Requirement(line).name
        if name in RUN_OR_LOOKED_FOR | AWAITED:
            continue
        modules = {module for module, owners in provided_by.items() if name in map(normal, owners)}
        assert not modules or modules & used, f"nothing imports {name}: remove it from pyproject.toml"
