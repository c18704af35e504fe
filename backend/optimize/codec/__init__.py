"""Optimizations of codec decoders."""
