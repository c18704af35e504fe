"""The key a request must carry when the settings name one."""

import secrets

from fastapi import HTTPException, Request

OPEN_PATHS = ("/health", "/ready")


async def require_key(request: Request) -> None:
    """Let the request pass if no key is set, the path is open, or it carries the key; else 401."""
    key: str = request.app.state.settings.api_key
    if not key or request.url.path in OPEN_PATHS:
        return
    scheme, _, sent = request.headers.get("authorization", "").partition(" ")
    # Compared in constant time: the answer's delay must not tell how many characters were right.
    if scheme.lower() == "bearer" and secrets.compare_digest(sent.encode(), key.encode()):
        return
    raise HTTPException(
        401,
        "No key or a wrong key; expected the server's API_KEY. Send it as `Authorization: Bearer KEY`.",
        headers={"WWW-Authenticate": "Bearer"},
    )
