"""Normalization, splitting, phonemes, markup, tokenizers, documents."""
