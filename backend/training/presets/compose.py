"""Composes a preset with overrides into plain values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from backend.errors import BadSettings

FOLDER = Path(__file__).resolve().parent


def preset_names(task: str) -> list[str]:
    """Returns the presets of a task, such as "codec"."""
    return sorted(path.stem for path in (FOLDER / task).glob("*.yaml") if not path.stem.startswith("_"))


def compose_preset(task: str, preset: str, overrides: list[str]) -> dict[str, Any]:
    """Returns the values of a preset with `overrides` such as `recon.steps=1000`.

    Raises `BadSettings` for an unknown preset or setting.
    """
    if preset not in preset_names(task):
        known = ", ".join(preset_names(task))
        raise BadSettings(f"Preset '{preset}' is unknown; the presets for '{task}' are {known}. Set preset=NAME.")
    try:
        with initialize_config_dir(str(FOLDER / task), version_base="1.3"):
            config = compose(preset, overrides)
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise BadSettings(f"The settings {overrides} are invalid for preset '{preset}': {error}") from error
    assert isinstance(values, dict), type(values)
    return {str(key): value for key, value in values.items()}
