"""Text markup: brackets, SSML and emotion markers."""
