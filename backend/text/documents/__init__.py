"""Books and articles: files to chapters, chapters to sentences."""
