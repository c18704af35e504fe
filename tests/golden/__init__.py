"""Outputs of reference implementations, and checks of the engine against them."""
