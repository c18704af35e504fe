"""Codec evaluation: runner, metrics, summary and report."""
