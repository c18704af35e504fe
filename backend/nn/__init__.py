"""Shared neural network layers: causal convolutions with state, transformer blocks, norms, activations."""
