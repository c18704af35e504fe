"""Bytes for codes: bit packing, containers, checksums."""
