"""The Gradio and Streamlit pages: HTTP clients of the backend, without torch."""
