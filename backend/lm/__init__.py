"""Language models over codes: DualAR, sampling, KV cache, text pointer, voice adaptation."""
