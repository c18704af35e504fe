"""Checkpoints of others, fetched from the Hugging Face Hub: only on request, verified, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.errors import BadCheckpoint, NotAvailable, OutputError

CARD = "https://huggingface.co/{repo}"
BLOCK_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class HubCheckpoint:
    """What to fetch. A gated one needs the account of someone who accepted its license on the Hub."""

    repo: str
    files: tuple[str, ...]
    license: str
    is_gated: bool


HUB_CHECKPOINTS = {
    "openaudio-s1-mini": HubCheckpoint(
        repo="fishaudio/openaudio-s1-mini",
        files=("config.json", "model.pth", "codec.pth", "tokenizer.tiktoken", "special_tokens.json"),
        license="CC-BY-NC-SA-4.0: no commercial use, share alike",
        is_gated=True,
    ),
}


def hub_checkpoint(name: str) -> HubCheckpoint:
    """The checkpoint called `name`; raises `BadCheckpoint` naming those there are."""
    if name not in HUB_CHECKPOINTS:
        raise BadCheckpoint(f"'{name}' is not known here; known are {', '.join(HUB_CHECKPOINTS)}. Choose one of them.")
    return HUB_CHECKPOINTS[name]


def fetch_checkpoint(name: str, shelf: Path, on_file: Callable[[str, int], None] = lambda name, size: None) -> Path:
    """Fetch a checkpoint into `shelf / name`; returns that folder.

    Started again, it continues where it stopped. `on_file` hears of each file and its size before it is fetched.
    Every size, and every SHA-256 the Hub tells, is compared; the folder appears when all is right. Raises
    `NotAvailable` without the package, the key or the permission, `BadCheckpoint` for files that differ.
    """
    wanted = hub_checkpoint(name)
    folder, partial = shelf / name, shelf / f".{name}.part"
    if folder.exists():
        raise OutputError(f"There is a folder {name} among the checkpoints already. Remove it to fetch it anew.")
    hub = _hub()
    token = hub.get_token()
    if wanted.is_gated and not token:
        raise NotAvailable(
            f"{name} is gated ({wanted.license}). Accept its license at {CARD.format(repo=wanted.repo)} with your "
            "account, make an access token there, and set it as HF_TOKEN."
        )
    try:
        listing = hub.HfApi().model_info(wanted.repo, files_metadata=True, token=token)
        told = {file.rfilename: file for file in listing.siblings}
        missing = [file for file in wanted.files if file not in told]
        if missing:
            raise BadCheckpoint(f"{wanted.repo} has no {', '.join(missing)}. Its layout has changed; see its page.")
        partial.mkdir(parents=True, exist_ok=True)
        for file in wanted.files:
            on_file(file, told[file].size or 0)
            hub.hf_hub_download(wanted.repo, file, revision=listing.sha, local_dir=partial, token=token)
    except (hub.errors.GatedRepoError, hub.errors.RepositoryNotFoundError) as error:
        raise NotAvailable(
            f"The Hub does not let this account have {wanted.repo}. Accept its license at "
            f"{CARD.format(repo=wanted.repo)}, and check HF_TOKEN."
        ) from error
    except (hub.errors.HfHubHTTPError, OSError) as error:
        raise NotAvailable(
            f"{name} could not be fetched ({type(error).__name__}). Run the same again: it continues where it stopped."
        ) from error
    hashes = {file: _verified(partial / file, told[file]) for file in wanted.files}
    source = {"repo": wanted.repo, "revision": listing.sha, "license": wanted.license, "sha256": hashes}
    (partial / "SOURCE.json").write_text(json.dumps(source, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, folder)
    return folder


def _verified(path: Path, told: Any) -> str:
    """The SHA-256 of a fetched file that is what the Hub told."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    size, expected = path.stat().st_size, told.lfs.sha256 if told.lfs else None
    if (told.size is not None and size != told.size) or (expected is not None and digest.hexdigest() != expected):
        path.unlink()
        raise BadCheckpoint(
            f"{path.name} has {size} bytes with SHA-256 {digest.hexdigest()[:12]}…; the Hub told {told.size} and "
            f"{str(expected)[:12]}…. It was removed; run the same again."
        )
    return digest.hexdigest()


def _hub() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ModuleNotFoundError as error:
        raise NotAvailable(
            "Fetching checkpoints needs the package huggingface_hub. Install the extra: python launch.py setup hub."
        ) from error
    return huggingface_hub
