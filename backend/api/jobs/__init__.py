"""Schemas and server-sent events of long-form jobs."""
