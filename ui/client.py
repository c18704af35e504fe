"""The backend as the pages see it: one method per endpoint, errors as one sentence to show."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import httpx


class BackendError(Exception):
    """The backend is away or refused; the text can be shown as it is."""


@dataclass(frozen=True, slots=True)
class Health:
    """The answer of `GET /health`."""

    status: str
    version: str
    device: str
    device_name: str
    device_reason: str
    torch_version: str
    torch_threads: int
    python_version: str
    uptime_s: float


class BackendClient:
    """Talks to the backend at `url`; `api_key` goes along with every request when there is one."""

    def __init__(self, url: str, api_key: str = "", timeout_s: float = 10.0) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        # The backend is named by the caller: a proxy meant for the web must not stand in between.
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, trust_env=False)
        self.url = url

    def health(self) -> Health:
        """Ask what the backend runs on. Raises `BackendError` if it cannot be asked."""
        answer = self._get("/health")
        names = [field.name for field in fields(Health)]
        missing = [name for name in names if name not in answer]
        if missing:
            raise BackendError(f"{self.url} answers, but not as Phonogram does (no {missing[0]}). Check the address.")
        return Health(**{name: answer[name] for name in names})

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _get(self, path: str) -> dict[str, Any]:
        try:
            response = self._http.get(path)
        except httpx.HTTPError as error:
            raise BackendError(
                f"No answer from {self.url} ({type(error).__name__}). Start the backend with `bash start.sh backend`."
            ) from error
        try:
            answer = response.json()
        except ValueError as error:
            raise BackendError(f"{self.url}{path} answered {response.status_code} without JSON.") from error
        if response.is_error:
            reason = answer.get("message") or answer.get("detail") if isinstance(answer, dict) else answer
            raise BackendError(f"{self.url}{path} answered {response.status_code}: {reason}")
        if not isinstance(answer, dict):
            raise BackendError(f"{self.url}{path} answered JSON that is not an object. Check the address.")
        return answer
