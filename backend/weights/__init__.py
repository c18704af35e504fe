"""Checkpoint folders to built, strictly loaded modules."""

from backend.weights.codec import load_codec, save_codec, weights_hash

__all__ = ["load_codec", "save_codec", "weights_hash"]
