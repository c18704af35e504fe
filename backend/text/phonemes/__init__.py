"""Grapheme-to-phoneme conversion, phonetic alphabets and lexicons."""
