"""The `phonogram` command line, one module a command."""
