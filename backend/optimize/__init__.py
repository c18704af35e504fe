"""Ways to run a model faster, one technique per file."""
