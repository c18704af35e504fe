"""Evaluation of codecs and voices against baselines, with metrics that training does not use."""
