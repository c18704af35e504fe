"""Text normalization: numbers, abbreviations and letter case."""
