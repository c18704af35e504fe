"""Voice evaluation: runner, cloning, metrics, summary and report."""
