"""Replicas of this process, lost when a test says so. What passes is copied as between two processes."""

import asyncio
import pickle
from contextlib import contextmanager

from fastapi.testclient import TestClient

from backend.cluster.gateway import create_gateway
from backend.cluster.replica import Replica
from backend.cluster.replica_pool import ReplicaEnded
from backend.settings import Settings

SETTINGS = Settings(device="cpu")


class Here:
    """The `n`-th request is lost after `lost_after[n]` messages; `n_open` are under way."""

    def __init__(self, engine, role="speaker", settings=SETTINGS):
        self.replica = Replica(settings, role, lambda settings: engine)
        self.lost_after = {}
        self.n_asked = self.n_closed = 0
        self.refusal = None

    @property
    def n_open(self):
        return self.n_asked - self.n_closed

    def answer(self, scope, body):
        return self._ask(lambda: self.replica.answer(scope, body))

    def speak(self, wanted, about, is_timed):
        wanted, about = pickle.loads(pickle.dumps((wanted, about)))
        return self._ask(lambda: self.replica.speak(wanted, about, is_timed))

    async def _ask(self, messages):
        if self.refusal is not None:
            raise self.refusal
        limit, self.n_asked = self.lost_after.get(self.n_asked, 2**30), self.n_asked + 1
        asked = messages()
        try:
            n_sent = 0
            async for message in asked:
                if n_sent == limit:
                    raise ReplicaEnded
                yield pickle.loads(pickle.dumps(message))
                n_sent += 1
        finally:
            await asked.aclose()
            self.n_closed += 1


@contextmanager
def opened(speakers, desk, settings=SETTINGS, n_sockets=128):
    """A client of a door in front of them."""

    async def open_all():
        await asyncio.gather(speakers.replica.open(), desk.replica.open())

    async def close_all():
        await asyncio.gather(speakers.replica.close(), desk.replica.close())

    with TestClient(create_gateway(settings, speakers, desk, n_sockets), raise_server_exceptions=False) as client:
        client.portal.call(open_all)
        yield client
        client.portal.call(close_all)
