"""Prompt formats of each model family."""
