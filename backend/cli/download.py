"""`phonogram download`: checkpoints of others, on request."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def download(
    name: Annotated[str, typer.Argument(help="Which checkpoint, such as openaudio-s1-mini.")],
    is_agreed: Annotated[bool, typer.Option("--accept-license", help="I have read the license and accept it.")] = False,
) -> None:
    """Fetch a checkpoint from the Hugging Face Hub, after saying under which license."""
    from backend.errors import BadRequest
    from backend.weights.hub import CARD, fetch_checkpoint, hub_checkpoint
    from backend.weights.locate import CHECKPOINTS

    wanted = hub_checkpoint(name)
    typer.echo(f"{name} comes from {CARD.format(repo=wanted.repo)}")
    typer.echo(f"License: {wanted.license}. It binds what you do with the weights and with what they speak.")
    if wanted.is_gated:
        typer.echo("Gated: its makers ask you to accept the license there first; HF_TOKEN shows that you did.")
    if not is_agreed:
        if not sys.stdin.isatty():
            raise BadRequest("Nobody is here to accept the license. Read it, then add --accept-license.")
        typer.confirm("Do you accept this license?", abort=True)
    folder = fetch_checkpoint(
        name, CHECKPOINTS, lambda file, size: typer.echo(f"fetching {file} ({size / 1e6:.1f} MB)")
    )
    typer.echo(f"{name} is complete and verified: checkpoints/{folder.name}. MODEL_DIR=auto takes it from now on.")
