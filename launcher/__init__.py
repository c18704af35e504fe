"""Set-up and start of Phonogram, for `launch.py`. Standard library only: it runs before anything is installed."""
