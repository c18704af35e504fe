"""Vector quantization: residual, EMA and factorized codebooks."""
