"""Language models over codes, and how the next frame is drawn."""
