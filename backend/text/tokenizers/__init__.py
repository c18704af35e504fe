"""Tokenizers of the supported checkpoints."""
