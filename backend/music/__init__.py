"""Symbolic music: composing scores, describing them, and rendering them to sound."""
