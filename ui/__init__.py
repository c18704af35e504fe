"""The web pages: HTTP clients of the backend that import neither it nor torch."""
