"""`phonogram serve`: the HTTP server."""

from __future__ import annotations

from typing import Annotated

import typer

STOP_LIMIT_S = 10


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; else HOST of the settings.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port; else PORT of the settings.")] = None,
) -> None:
    """Serve speech over HTTP until stopped."""
    import uvicorn

    from backend.app import configure_logging, create_app
    from backend.settings import load_settings

    configure_logging()
    changes = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = load_settings().model_copy(update=changes)
    # Speeches that are open at a stop get this long to end.
    uvicorn.run(
        create_app(settings), host=settings.host, port=settings.port, timeout_graceful_shutdown=STOP_LIMIT_S
    )  # fmt: skip
