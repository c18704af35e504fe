"""Encode and decode with a codec: in memory, on disk, streaming, whole corpora."""
