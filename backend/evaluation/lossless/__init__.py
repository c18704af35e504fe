"""Lossless coders side by side on the same files."""
