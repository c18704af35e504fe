"""Audio files and samples: reading, writing, resampling, loudness, crossfades, watermarks."""
