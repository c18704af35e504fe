"""Sound files to `.pgl` and back on disk, byte for byte."""
