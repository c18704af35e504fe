"""Neural network layers: causal convolutions with state, transformer blocks, norms, STFT."""
