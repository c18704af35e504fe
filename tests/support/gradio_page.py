"""The Gradio page with its proxy, served on a local port."""

import socket
import threading
from contextlib import contextmanager

import uvicorn

from ui.client import BackendClient
from ui.gradio_app import build_server


@contextmanager
def paged(backend_url, api_key=""):
    """Yield the URL of a Gradio page for the backend."""
    server = uvicorn.Server(
        uvicorn.Config(
            build_server(BackendClient(backend_url, api_key), api_key),
            log_level="critical",
            timeout_graceful_shutdown=2,
        )
    )
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the page did not start"
                thread.join(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
