"""Text before it becomes tokens: normalization, markup, segmentation, phonemes, prompts."""
