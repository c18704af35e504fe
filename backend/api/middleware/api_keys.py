"""The keys a caller may carry."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from starlette.datastructures import Headers

SHORT_KEY_CHARS = 16
# The name of a key may stand in a log. Guessing keys until one gives that name costs this much a guess.
NAME_COST = 2**14


@dataclass(frozen=True, slots=True)
class Key:
    """A key as the server keeps it: never itself, only what recognizes it."""

    digest: bytes
    name: str


class ApiKeys:
    """The keys of a comma-separated list; an empty one asks for no key."""

    def __init__(self, listed: str) -> None:
        keys = [key.strip() for key in listed.split(",") if key.strip()]
        self._keys = tuple(Key(_digest(key), key_name(key)) for key in dict.fromkeys(keys))
        self.n_short = sum(len(key) < SHORT_KEY_CHARS for key in keys)

    def __bool__(self) -> bool:
        return bool(self._keys)

    def find(self, sent: str) -> Key | None:
        """The key that was sent, or None. Takes as long for a near miss as for a far one."""
        digest = _digest(sent)
        found = None
        for key in self._keys:
            # All are compared, and digests have one length: the delay tells neither which key nor how much was right.
            if secrets.compare_digest(key.digest, digest):
                found = key
        return found


def sent_key(headers: Headers) -> str:
    """The key a request carries: `Authorization: Bearer KEY`, or `xi-api-key` as ElevenLabs' clients send it."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else headers.get("xi-api-key", "")


def key_name(key: str) -> str:
    """Eight characters by which a log can tell keys apart."""
    return hashlib.scrypt(key.encode(), salt=b"phonogram key name", n=NAME_COST, r=8, p=1, dklen=4).hex()


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
