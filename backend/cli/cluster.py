"""`phonogram cluster`: several copies of the server behind one address."""

from __future__ import annotations

from typing import Annotated

import typer

from backend.cli.serve import SOCKET_MESSAGE_BYTES

app = typer.Typer(no_args_is_help=True, help="Several copies of the server behind one address.")

# What is being said gets this long when the door is closed, connections that remain one second more. The replicas need
# up to three, and whoever stops it by hand waits for no more than ten.
MOST_PATIENCE_S = 5.0
LAST_ANSWERS_S = 1

Address = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="A Ray cluster to use; `auto` for one that runs on this machine."),
]


@app.command()
def up(
    address: Address = None,
    replicas: Annotated[int, typer.Option(min=1, help="Copies at least.")] = 1,
    max_replicas: Annotated[
        int | None, typer.Option(min=1, help="Copies at most, started as requests wait; else as many as at least.")
    ] = None,
    cores: Annotated[float, typer.Option(min=0.1, help="Processor cores of one copy.")] = 1.0,
    cards: Annotated[float, typer.Option(min=0.0, help="Graphics cards of one copy, such as 1 or 0.5.")] = 0.0,
    host: Annotated[str | None, typer.Option(help="Address to listen on; else HOST of the settings.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port; else PORT of the settings.")] = None,
    is_update: Annotated[
        bool, typer.Option("--update", help="Replace the copies of a running cluster one after another, and leave.")
    ] = False,
) -> None:
    """Start copies and listen until stopped. Without an address they share this machine."""
    import uvicorn

    from backend.api.routes.speech_socket import MAX_SOCKETS
    from backend.app import configure_logging, warn_if_open
    from backend.cli.graceful_server import GracefulServer, require_free
    from backend.cluster import ray_serve
    from backend.cluster.gateway import create_gateway
    from backend.settings import load_settings

    configure_logging()
    changes = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = load_settings().model_copy(update=changes)
    size = ray_serve.Size(
        replicas, max(replicas, max_replicas or replicas), cores, cards, desk_cards=cards
    )  # fmt: skip
    # A copy more than speak: the one that keeps voices and jobs.
    n_cores = max(2, round(cores * (size.max_speakers + 1)))
    if not is_update:
        # Before the copies are started, which takes half a minute.
        require_free(settings.host, settings.port)
    ray_serve.connect(address or ("auto" if is_update else None), n_cores)
    try:
        ray_serve.deploy(settings, size)
        if is_update:
            return
        warn_if_open(settings)
        door = create_gateway(
            settings, ray_serve.RayReplicaPool(ray_serve.SPEAKERS), ray_serve.RayReplicaPool(ray_serve.DESK),
            MAX_SOCKETS * size.max_speakers,
        )  # fmt: skip
        config = uvicorn.Config(
            door, host=settings.host, port=settings.port, timeout_graceful_shutdown=LAST_ANSWERS_S,
            ws_max_size=SOCKET_MESSAGE_BYTES,
        )  # fmt: skip
        GracefulServer(config, min(settings.shutdown_s, MOST_PATIENCE_S)).run()
    finally:
        ray_serve.leave()


@app.command()
def status(address: Address = "auto") -> None:
    """Tell how many copies run, and in what state."""
    from backend.cluster import ray_serve

    ray_serve.connect(address)
    found = ray_serve.status()
    typer.echo(f"{found.application} {found.message}".strip())
    for part, states in found.replicas.items():
        typer.echo(f"  {part:9} {', '.join(f'{n} {state.lower()}' for state, n in states.items())}")
    ray_serve.leave()


@app.command()
def down(address: Address = "auto") -> None:
    """End all copies."""
    from backend.cluster import ray_serve

    ray_serve.connect(address)
    ray_serve.shut_down()
    ray_serve.leave()
