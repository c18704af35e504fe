"""Voice evaluation."""
