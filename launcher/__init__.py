"""Installation and start of Phonogram, for `launch.py`. Standard library only, because it runs before installation."""
