"""Loading of checkpoint folders into modules."""

from backend.weights.codec_checkpoint import codes_hash, load_codec, save_codec, weights_hash

__all__ = ["codes_hash", "load_codec", "save_codec", "weights_hash"]
