"""Training of models of raw audio."""
