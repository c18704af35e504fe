"""Downloads checkpoints from the Hugging Face Hub: on request only, verified and atomic."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.atomic_file import file_sha256
from backend.errors import BadCheckpoint, NotAvailable, OutputError

MODEL_PAGE = "https://huggingface.co/{repo}"


@dataclass(frozen=True, slots=True)
class HubCheckpoint:
    """A downloadable checkpoint. A gated one needs an account that accepted its license on the Hub."""

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
    """Returns the checkpoint `name`; raises `BadCheckpoint` listing the known ones."""
    if name not in HUB_CHECKPOINTS:
        raise BadCheckpoint(
            f"'{name}' is not a known checkpoint; known are {', '.join(HUB_CHECKPOINTS)}. Choose one of them."
        )
    return HUB_CHECKPOINTS[name]


def fetch_checkpoint(name: str, root: Path, on_file: Callable[[str, int], None] = lambda name, size: None) -> Path:
    """Downloads a checkpoint into `root / name`; returns that folder.

    A repeated call resumes an interrupted download. `on_file` is called with each file's name and size before its
    download. All sizes, and the SHA-256 digests the Hub lists, are verified before the folder appears. Raises
    `NotAvailable` without the package, the token or access, `BadCheckpoint` for files that differ.
    """
    checkpoint = hub_checkpoint(name)
    folder, partial = root / name, root / f".{name}.part"
    if folder.exists():
        raise OutputError(f"The checkpoint folder {name} already exists. Remove it to download it again.")
    hub = _hub()
    token = hub.get_token()
    if checkpoint.is_gated and not token:
        raise NotAvailable(
            f"{name} is gated ({checkpoint.license}). Accept its license at {MODEL_PAGE.format(repo=checkpoint.repo)} with your "
            "account, create an access token there, and set it as HF_TOKEN."
        )
    try:
        listing = hub.HfApi().model_info(checkpoint.repo, files_metadata=True, token=token)
        listed = {file.rfilename: file for file in listing.siblings}
        missing = [file for file in checkpoint.files if file not in listed]
        if missing:
            raise BadCheckpoint(f"{checkpoint.repo} has no {', '.join(missing)}. Its layout has changed; see its page.")
        partial.mkdir(parents=True, exist_ok=True)
        for file in checkpoint.files:
            on_file(file, listed[file].size or 0)
            hub.hf_hub_download(checkpoint.repo, file, revision=listing.sha, local_dir=partial, token=token)
    except (hub.errors.GatedRepoError, hub.errors.RepositoryNotFoundError) as error:
        raise NotAvailable(
            f"The Hub denies this account access to {checkpoint.repo}. Accept its license at "
            f"{MODEL_PAGE.format(repo=checkpoint.repo)}, and check HF_TOKEN."
        ) from error
    except (hub.errors.HfHubHTTPError, OSError) as error:
        raise NotAvailable(
            f"{name} could not be downloaded ({type(error).__name__}). Run the command again to resume."
        ) from error
    hashes = {file: _verified(partial / file, listed[file]) for file in checkpoint.files}
    source = {"repo": checkpoint.repo, "revision": listing.sha, "license": checkpoint.license, "sha256": hashes}
    (partial / "SOURCE.json").write_text(json.dumps(source, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, folder)
    return folder


def _verified(path: Path, listed: Any) -> str:
    """Returns the SHA-256 of a downloaded file after comparing it with the Hub's listing."""
    digest = file_sha256(path)
    size, expected = path.stat().st_size, listed.lfs.sha256 if listed.lfs else None
    if (listed.size is not None and size != listed.size) or (expected is not None and digest != expected):
        path.unlink()
        raise BadCheckpoint(
            f"{path.name} has {size} bytes with SHA-256 {digest[:12]}…; the Hub lists {listed.size} and "
            f"{str(expected)[:12]}…. It was removed; run the command again."
        )
    return digest


def _hub() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ModuleNotFoundError as error:
        raise NotAvailable(
            "Downloading checkpoints needs the package huggingface_hub. Install the extra: python launch.py setup hub."
        ) from error
    return huggingface_hub
