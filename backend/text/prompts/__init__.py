"""Prompts of each family: what a model reads before it speaks."""
