"""A DualAR frame on the CPU with preallocated buffers."""
