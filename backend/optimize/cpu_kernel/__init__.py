"""A DualAR frame on the CPU in compiled kernels: 8-bit products, attention and everything between them."""
