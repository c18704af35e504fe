"""Evaluation of whole systems against baselines on the same audio."""
