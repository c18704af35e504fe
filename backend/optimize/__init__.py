"""Optimizations that make a model run faster, one technique per file."""
