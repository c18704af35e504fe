"""Training presets as package data, and their composition."""

from backend.training.presets.compose import compose_preset, preset_names

__all__ = ["compose_preset", "preset_names"]
