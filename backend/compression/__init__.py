"""Storage formats of codes: bit packing, containers, checksums."""
