"""Sound as samples: reading, writing, resampling, loudness, joins."""
