"""End-to-end tasks built from stages."""
