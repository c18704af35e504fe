"""Layers without opinions: causal convolution with state, transformer blocks, norms, activations."""
