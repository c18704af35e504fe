"""Synthetic speech corpora: texts, teacher voices and the run that renders them."""
