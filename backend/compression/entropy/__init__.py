"""Entropy coding with integer probabilities: the same bytes on every processor."""
