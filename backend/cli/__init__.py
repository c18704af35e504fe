"""The commands of `phonogram` that speak and serve; `backend/cli/main.py` is the list of all."""
