"""Lossless compression of PCM audio: the `.pgl` container and the adaptive cascade behind it."""
