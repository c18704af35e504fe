"""Markup in text: brackets, SSML, emotions."""
