"""Audio processing: reading, writing, resampling, loudness and crossfades."""
