"""API keys and their comparison in constant time."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from starlette.datastructures import Headers

SHORT_KEY_CHARS = 16
# Key names appear in logs. This scrypt cost makes guessing a key from its name expensive.
NAME_COST = 2**14


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Digest and log name of an API key; the key itself is not kept."""

    digest: bytes
    name: str


class ApiKeys:
    """The keys of a comma-separated list. An empty list turns authentication off."""

    def __init__(self, listed: str) -> None:
        keys = [key.strip() for key in listed.split(",") if key.strip()]
        self._keys = tuple(ApiKey(_digest(key), key_name(key)) for key in dict.fromkeys(keys))
        self.n_short = sum(len(key) < SHORT_KEY_CHARS for key in keys)

    def __bool__(self) -> bool:
        return bool(self._keys)

    def find(self, sent: str) -> ApiKey | None:
        """Returns the key that was sent, or None. Runs in constant time."""
        digest = _digest(sent)
        match = None
        for key in self._keys:
            # All digests are compared, so the duration reveals neither the key nor the length of a common prefix.
            if secrets.compare_digest(key.digest, digest):
                match = key
        return match


def sent_key(headers: Headers) -> str:
    """Returns the key in `Authorization: Bearer KEY`, or in the `xi-api-key` header of ElevenLabs clients."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else headers.get("xi-api-key", "")


def key_name(key: str) -> str:
    """Returns eight characters that identify a key in logs."""
    return hashlib.scrypt(key.encode(), salt=b"phonogram key name", n=NAME_COST, r=8, p=1, dklen=4).hex()


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
