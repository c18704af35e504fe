"""Persistent storage: voices, jobs and their audio files."""
