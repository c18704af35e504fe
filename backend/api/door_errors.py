"""What clients of other services read in an error, added to the common shape where they knock."""

from __future__ import annotations

from typing import Any

FISH = ("/v1/tts", "/v1/references", "/v1/vqgan", "/v1/health")
ELEVENLABS = ("/v1/text-to-speech", "/v1/voices")


def for_clients_of(path: str, kind: str, message: str, status: int) -> dict[str, Any]:
    """The keys that an error at `path` has besides `error` and `message`."""
    if _is_below(path, FISH):
        return {"statusCode": status}
    if _is_below(path, ELEVENLABS):
        return {"detail": {"status": _snake_case(kind), "message": message}}
    return {}


def has_own_shape(path: str) -> bool:
    """Whether errors at `path` are read by clients of a service of other manners than OpenAI's."""
    return _is_below(path, (*FISH, *ELEVENLABS))


def _is_below(path: str, prefixes: tuple[str, ...]) -> bool:
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in prefixes)


def _snake_case(kind: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind).lstrip("_")
