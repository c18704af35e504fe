"""Checkpoint folders: reading, strict loading, saving."""
