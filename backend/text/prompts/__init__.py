"""Prompt formats of the model families."""
