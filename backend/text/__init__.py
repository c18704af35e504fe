"""Text processing: normalization, markup, segmentation, tokenizers and prompts of each model family."""
