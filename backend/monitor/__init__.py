"""Readings of GPU, CPU and memory; running statistics; log formats."""
