"""Sentence splitting, whole and incremental, and language detection."""
