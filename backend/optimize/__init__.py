"""Optimizations of models, one technique a file, and the planner that measures them."""
