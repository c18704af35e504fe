"""Checkpoint folders to strictly loaded models."""

from backend.weights.codec_checkpoint import codes_hash, load_codec, save_codec, weights_hash

__all__ = ["codes_hash", "load_codec", "save_codec", "weights_hash"]
