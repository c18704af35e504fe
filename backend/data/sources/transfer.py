"""HTTP downloads of large files: resumed with ranges, verified by checksum, complete or absent."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import Request, urlopen

from backend.data.sources.source import Fetcher, RemoteFile
from backend.errors import BadContainer, BadSettings, NotAvailable

READ_BYTES = 1 << 18
TIMEOUT_S = 60.0
MAX_JSON_BYTES = 32 << 20
USER_AGENT = "phonogram"
RETRY_DELAYS_S = (1.0, 4.0, 15.0)

Progress = Callable[[int, int], None]


class DownloadSession(Fetcher):
    """Downloads over HTTPS. `mirror` replaces scheme and host of every address, for a copy inside an organization."""

    def __init__(self, mirror: str | None = None, retry_delays_s: tuple[float, ...] = RETRY_DELAYS_S):
        self._mirror = None if mirror is None else urlsplit(mirror)
        if self._mirror is not None and self._mirror.scheme not in ("http", "https"):
            raise BadSettings(f"The mirror is '{mirror}'; expected an address that starts with https:// or http://.")
        self._retry_delays_s = retry_delays_s

    def json(self, url: str) -> Any:
        """Returns the parsed JSON at `url`. Raises `NotAvailable` when it cannot be had."""
        try:
            with self._open(url, {}) as response:
                content = response.read(MAX_JSON_BYTES + 1)
            if len(content) > MAX_JSON_BYTES:
                raise NotAvailable(f"The listing of {_host(url)} has more than {MAX_JSON_BYTES >> 20} MiB. Try later.")
            return json.loads(content)
        except HTTPError as error:
            raise NotAvailable(
                f"{_host(url)} answered {error.code}; expected a listing. Check the key if one is needed, or try later."
            ) from error
        except (OSError, HTTPException, ValueError) as error:
            raise NotAvailable(
                f"The listing of {_host(url)} could not be read ({type(error).__name__}). Check the network, or try later."
            ) from error

    def download(self, file: RemoteFile, folder: Path, progress: Progress | None = None) -> Path:
        """Downloads `file` into `folder` and returns its path; a complete file is kept, a partial one resumed.

        Raises `NotAvailable` after repeated failures, and `BadContainer` when size or checksum differ; the bad file
        is removed then.
        """
        target = folder / file.name
        if target.is_file() and (file.size_bytes is None or target.stat().st_size == file.size_bytes):
            return target
        partial = target.with_name(target.name + ".part")
        for delay_s in (*self._retry_delays_s, None):
            try:
                self._transfer(file, partial, progress)
                break
            except (OSError, HTTPException) as error:
                is_final = isinstance(error, HTTPError) and error.code in (401, 403, 404, 410)
                if delay_s is None or is_final:
                    code = f"answered {error.code}" if isinstance(error, HTTPError) else type(error).__name__
                    raise NotAvailable(
                        f"'{file.name}' could not be downloaded from {_host(file.url)} ({code}). "
                        "Run the command again to resume."
                    ) from error
                time.sleep(delay_s)
        _verify(file, partial)
        os.replace(partial, target)
        return target

    def _transfer(self, file: RemoteFile, partial: Path, progress: Progress | None) -> None:
        done = partial.stat().st_size if partial.exists() else 0
        if file.size_bytes is not None and done == file.size_bytes:
            return
        try:
            response = self._open(file.url, {"Range": f"bytes={done}-"} if done else {})
        except HTTPError as error:
            if error.code != 416:
                raise
            partial.unlink()  # longer than the file: start over
            done, response = 0, self._open(file.url, {})
        with response:
            if done and response.status != 206:
                done = 0
            length = response.headers.get("Content-Length")
            total = file.size_bytes or (done + int(length) if length and length.isdigit() else 0)
            with partial.open("ab" if done else "wb") as output:
                while piece := response.read(READ_BYTES):
                    output.write(piece)
                    done += len(piece)
                    if progress is not None:
                        progress(done, total)
            if total and done < total:
                raise ConnectionError("the connection ended early")

    def _open(self, url: str, headers: dict[str, str]) -> Any:
        parts = urlsplit(url)
        if self._mirror is not None:
            path = self._mirror.path.rstrip("/") + parts.path
            parts = parts._replace(scheme=self._mirror.scheme, netloc=self._mirror.netloc, path=path)
        elif parts.scheme != "https":
            raise URLError("only https addresses are downloaded")
        return urlopen(Request(urlunsplit(parts), headers={"User-Agent": USER_AGENT, **headers}), timeout=TIMEOUT_S)


def _verify(file: RemoteFile, path: Path) -> None:
    size = path.stat().st_size
    if file.size_bytes is not None and size != file.size_bytes:
        path.unlink()
        raise BadContainer(f"'{file.name}' has {size} bytes; expected {file.size_bytes}. It was removed; run again.")
    if not file.checksum:
        return
    kind, expected = file.checksum.split(":", 1)
    digest = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as content:
        while piece := content.read(READ_BYTES):
            digest.update(piece)
    if digest.hexdigest() != expected:
        path.unlink()
        raise BadContainer(
            f"'{file.name}' has the {kind} checksum {digest.hexdigest()}; expected {expected}. It was removed; run again."
        )


def _host(url: str) -> str:
    return urlsplit(url).netloc
