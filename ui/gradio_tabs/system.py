"""The System tab: what the backend runs on, or why it cannot be asked."""

from __future__ import annotations

import gradio as gr

from ui.client import BackendClient, BackendError
from ui.health_table import health_rows


def build(client: BackendClient, page: gr.Blocks) -> None:
    """Lay out the tab; it reads the backend's health when the page opens and on request."""

    def read() -> tuple[str, list[tuple[str, str]]]:
        try:
            return f"**The backend at {client.url} is up.**", health_rows(client.health())
        except BackendError as error:
            return f"**The backend cannot be reached.** {error}", []

    state = gr.Markdown("Asking the backend…")
    table = gr.Dataframe(headers=["", "Value"], column_count=2, interactive=False, label="Backend")
    button = gr.Button("Refresh")
    button.click(read, outputs=[state, table], api_name="health")
    page.load(read, outputs=[state, table], api_visibility="private")
