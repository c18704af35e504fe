"""Read books and articles into chapters and sentences."""
