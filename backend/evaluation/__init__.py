"""Codecs measured beside others on the same sounds, by judges outside of training."""
