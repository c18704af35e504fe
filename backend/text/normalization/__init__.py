"""Text normalization: numbers, abbreviations, letter case."""
