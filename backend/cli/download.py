"""`phonogram download`: downloads third-party checkpoints."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def download(
    name: Annotated[str, typer.Argument(help="Name of the checkpoint, for example openaudio-s1-mini.")],
    is_accepted: Annotated[
        bool, typer.Option("--accept-license", help="I have read the license and accept it.")
    ] = False,
) -> None:
    """Download a checkpoint from the Hugging Face Hub, after asking to accept its license."""
    from backend.errors import BadRequest
    from backend.weights.hub import MODEL_PAGE, fetch_checkpoint, hub_checkpoint
    from backend.weights.locate import CHECKPOINTS

    checkpoint = hub_checkpoint(name)
    typer.echo(f"{name} comes from {MODEL_PAGE.format(repo=checkpoint.repo)}")
    typer.echo(f"License: {checkpoint.license}. It applies to the weights and to the audio they generate.")
    if checkpoint.is_gated:
        typer.echo("Gated: accept the license on that page first, and set HF_TOKEN to a token of that account.")
    if not is_accepted:
        if not sys.stdin.isatty():
            raise BadRequest("The license was not accepted and there is no terminal to ask. Add --accept-license.")
        typer.confirm("Do you accept this license?", abort=True)
    folder = fetch_checkpoint(
        name, CHECKPOINTS, lambda file, size: typer.echo(f"downloading {file} ({size / 1e6:.1f} MB)")
    )
    typer.echo(f"{name} is complete and verified: checkpoints/{folder.name}. MODEL_DIR=auto now uses it.")
