"""A task end to end, as stages."""
