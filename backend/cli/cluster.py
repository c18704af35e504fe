"""`phonogram cluster`: several replicas of the server behind one address."""

from __future__ import annotations

from typing import Annotated

import typer

from backend.cli.serve import SOCKET_MESSAGE_BYTES

app = typer.Typer(no_args_is_help=True, help="Run several replicas of the server behind one address.")

# On shutdown, running speech gets 5 s and the remaining connections 1 s. The replicas need up to 3 s more, so that
# stopping by hand takes less than 10 s.
MAX_DRAIN_S = 5.0
CLOSE_TIMEOUT_S = 1

Address = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Address of a Ray cluster; `auto` finds one on this machine."),
]


@app.command()
def up(
    address: Address = None,
    replicas: Annotated[int, typer.Option(min=1, help="Minimum number of replicas.")] = 1,
    max_replicas: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of replicas for autoscaling; default: --replicas.")
    ] = None,
    cores: Annotated[float, typer.Option(min=0.1, help="CPU cores per replica.")] = 1.0,
    gpus: Annotated[float, typer.Option("--cards", min=0.0, help="GPUs per replica, for example 1 or 0.5.")] = 0.0,
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: HOST from the settings.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port; default: PORT from the settings.")] = None,
    is_update: Annotated[
        bool, typer.Option("--update", help="Replace the replicas of a running cluster one after another, then exit.")
    ] = False,
) -> None:
    """Start replicas and a gateway; run until stopped. Without an address they run on this machine."""
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
        replicas, max(replicas, max_replicas or replicas), cores, gpus, primary_gpus=gpus
    )  # fmt: skip
    # The primary replica, which owns voices and jobs, runs besides the workers.
    n_cores = max(2, round(cores * (size.max_workers + 1)))
    if not is_update:
        # Checked first, because starting the replicas takes half a minute.
        require_free(settings.host, settings.port)
    ray_serve.connect(address or ("auto" if is_update else None), n_cores)
    try:
        ray_serve.deploy(settings, size)
        if is_update:
            return
        warn_if_open(settings)
        gateway = create_gateway(
            settings, ray_serve.RayReplicaPool(ray_serve.WORKERS), ray_serve.RayReplicaPool(ray_serve.PRIMARY),
            MAX_SOCKETS * size.max_workers,
        )  # fmt: skip
        config = uvicorn.Config(
            gateway, host=settings.host, port=settings.port, timeout_graceful_shutdown=CLOSE_TIMEOUT_S,
            ws_max_size=SOCKET_MESSAGE_BYTES,
        )  # fmt: skip
        GracefulServer(config, min(settings.shutdown_s, MAX_DRAIN_S)).run()
    finally:
        ray_serve.disconnect()


@app.command()
def status(address: Address = "auto") -> None:
    """Print the number of replicas by state."""
    from backend.cluster import ray_serve

    ray_serve.connect(address)
    cluster = ray_serve.status()
    typer.echo(f"{cluster.application} {cluster.message}".strip())
    for deployment, states in cluster.replicas.items():
        typer.echo(f"  {deployment:9} {', '.join(f'{n} {state.lower()}' for state, n in states.items())}")
    ray_serve.disconnect()


@app.command()
def down(address: Address = "auto") -> None:
    """Stop all replicas."""
    from backend.cluster import ray_serve

    ray_serve.connect(address)
    ray_serve.shut_down()
    ray_serve.disconnect()
