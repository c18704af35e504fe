"""The commands of `phonogram` that speak and serve; `backend/cli.py` is the list of all."""
