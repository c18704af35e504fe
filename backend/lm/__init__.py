"""Token language models over codec codes, and sampling of the next frame."""
