"""Tasks from end to end, one folder a product."""
