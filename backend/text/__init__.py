"""Text before it becomes tokens: normalization, markup, splitting, tokenizers and the prompts of each family."""
