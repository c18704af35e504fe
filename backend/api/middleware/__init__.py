"""Middleware: access, API keys, rate limits, timeouts, security headers."""
