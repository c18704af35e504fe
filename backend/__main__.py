"""`python -m backend` is the `phonogram` command."""

from backend.cli.main import main

if __name__ == "__main__":
    main()
