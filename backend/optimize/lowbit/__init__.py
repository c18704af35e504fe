"""8-bit and 4-bit weights and their kernels."""
