"""Training presets as package data, and the function that composes them."""

from backend.training.presets.compose import compose_preset, preset_names

__all__ = ["compose_preset", "preset_names"]
