"""Text to speech: reference, semantic and decode stages, voices, timestamps."""
