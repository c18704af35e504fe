"""Tabs of the Gradio page, one module each."""
