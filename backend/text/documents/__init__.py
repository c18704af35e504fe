"""Books and articles: EPUB, HTML, Markdown and plain text to chapters and sentences."""
