"""Prompts of each era: what a model reads before it speaks."""
