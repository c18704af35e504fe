"""A DualAR frame captured as CUDA graphs."""
