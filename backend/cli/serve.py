"""`phonogram serve`: the HTTP server."""

from __future__ import annotations

from typing import Annotated

import typer

# Answers that are under way when the server closes its connections get this long.
LAST_ANSWERS_S = 5
# Of what a client says over a WebSocket; no message of ours is nearly as long.
SOCKET_MESSAGE_BYTES = 2**20


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; else HOST of the settings.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port; else PORT of the settings.")] = None,
) -> None:
    """Serve speech over HTTP until stopped."""
    import uvicorn

    from backend.app import configure_logging, create_app
    from backend.cli.graceful_server import GracefulServer
    from backend.settings import load_settings

    changes = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = load_settings().model_copy(update=changes)
    configure_logging(settings.log_format)
    config = uvicorn.Config(
        create_app(settings), host=settings.host, port=settings.port, timeout_graceful_shutdown=LAST_ANSWERS_S,
        log_config=None, access_log=False, ws_max_size=SOCKET_MESSAGE_BYTES,
    )  # fmt: skip
    GracefulServer(config, settings.shutdown_s).run()
