"""The landing page and the API reference: static files that load nothing from other hosts."""
