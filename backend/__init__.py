"""Phonogram: an engine for audio tokens. Importing this package loads no model."""

__version__ = "0.1.0"
