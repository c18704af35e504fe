"""The `.pgc` container for codec codes."""
