"""The tabs of the Gradio page, one file each."""
