"""`phonogram serve`: the HTTP server."""

from __future__ import annotations

from typing import Annotated

import typer

# Responses in flight get this long when the server closes its connections.
CLOSE_TIMEOUT_S = 5
# Maximum size of a WebSocket message from a client; the longest valid ones are much shorter.
SOCKET_MESSAGE_BYTES = 2**20


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: HOST from the settings.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port; default: PORT from the settings.")] = None,
) -> None:
    """Run the HTTP server until stopped."""
    import uvicorn

    from backend.app import configure_logging, create_app
    from backend.cli.graceful_server import GracefulServer
    from backend.settings import load_settings

    changes = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = load_settings().model_copy(update=changes)
    configure_logging(settings.log_format)
    config = uvicorn.Config(
        create_app(settings), host=settings.host, port=settings.port, timeout_graceful_shutdown=CLOSE_TIMEOUT_S,
        log_config=None, access_log=False, ws_max_size=SOCKET_MESSAGE_BYTES,
        ssl_certfile=settings.tls_cert or None, ssl_keyfile=settings.tls_key or None,
    )  # fmt: skip
    GracefulServer(config, settings.shutdown_s).run()
