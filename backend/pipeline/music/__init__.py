"""Music end to end: text to a score to sound, and corpora of renders."""
