"""Registry of language models by name. Classes are imported on demand, so listing them is cheap."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from backend.errors import BadCheckpoint

# `model_type` in a config.json to the class that runs it.
LANGUAGE_MODELS: dict[str, str] = {
    "dual_ar": "backend.lm.dual_ar.DualAR",
    "fish_qwen3_omni": "backend.lm.dual_ar.DualAR",
}


def lm_class(model_type: str) -> type[Any]:
    """Returns the class registered as `model_type`. Raises `BadCheckpoint` for an unknown type."""
    if model_type not in LANGUAGE_MODELS:
        known = ", ".join(sorted(LANGUAGE_MODELS))
        raise BadCheckpoint(
            f"The model type '{model_type}' is not supported; supported are {known}. Use such a checkpoint, or update Phonogram."
        )
    module, _, attribute = LANGUAGE_MODELS[model_type].rpartition(".")
    return getattr(import_module(module), attribute)
