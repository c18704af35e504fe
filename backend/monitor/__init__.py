"""Readings of card, processor and memory; counters; timelines."""
