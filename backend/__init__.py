"""Phonogram: an engine for audio tokens. Importing this package is cheap; models load on demand."""

__version__ = "0.1.0"
