"""Fair queue: waiting requests, served round-robin by client."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator

from backend.runtime.session import Session


class FairQueue:
    """Waiting requests by client, in order of arrival. Not thread-safe: the scheduler holds the lock."""

    def __init__(self) -> None:
        self._by_client: OrderedDict[str, deque[Session]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._by_client.values()))

    def __iter__(self) -> Iterator[Session]:
        return (session for sessions in self._by_client.values() for session in sessions)

    def push(self, session: Session) -> None:
        self._by_client.setdefault(session.client, deque()).append(session)

    def pop(self, n_active: Counter[str]) -> Session | None:
        """Remove the next request: of the client with the fewest active requests, ties to the least recently served."""
        if not self._by_client:
            return None
        client = min(self._by_client, key=lambda name: n_active[name])
        session = self._by_client[client].popleft()
        self._by_client.move_to_end(client)
        self._drop_if_empty(client)
        return session

    def remove(self, session: Session) -> None:
        self._by_client[session.client].remove(session)
        self._drop_if_empty(session.client)

    def clear(self) -> None:
        self._by_client.clear()

    def ahead_of(self, client: str) -> list[Session]:
        """Return the sessions served before a new one of `client`: its own, and one more than that of each other."""
        n_own = len(self._by_client.get(client, ()))
        return [
            session for name, sessions in self._by_client.items()
            for session in (sessions if name == client else list(sessions)[: n_own + 1])
        ]  # fmt: skip

    def displaced_by(self, client: str) -> Session | None:
        """Return the session that a new one of `client` displaces from a full queue, if any.

        It is the newest unstarted session of the client with the most waiting, provided that client keeps at least as
        many as `client` then has.
        """
        most = max(self._by_client, key=lambda name: len(self._by_client[name]), default=None)
        if most is None or len(self._by_client[most]) < len(self._by_client.get(client, ())) + 2:
            return None
        return next((session for session in reversed(self._by_client[most]) if not session.admitted_s), None)

    def _drop_if_empty(self, client: str) -> None:
        if not self._by_client[client]:
            del self._by_client[client]
