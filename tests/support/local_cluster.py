"""Replicas in this process that a test can lose. Messages are pickled as between two processes."""

import asyncio
import pickle
from contextlib import contextmanager

from fastapi.testclient import TestClient

from backend.cluster.gateway import create_gateway
from backend.cluster.replica import Replica
from backend.cluster.replica_pool import ReplicaEnded
from backend.settings import Settings

SETTINGS = Settings(device="cpu")


class LocalReplicas:
    """A pool of one replica. Request `n` is lost after `lost_after[n]` messages; `n_open` requests are in flight."""

    def __init__(self, engine, role="worker", settings=SETTINGS):
        self.replica = Replica(settings, role, lambda settings: engine)
        self.lost_after = {}
        self.n_requests = self.n_closed = 0
        self.refusal = None

    @property
    def n_open(self):
        return self.n_requests - self.n_closed

    def handle(self, scope, body):
        return self._call(lambda: self.replica.handle(scope, body))

    def speak(self, request, scope, is_timed):
        request, scope = pickle.loads(pickle.dumps((request, scope)))
        return self._call(lambda: self.replica.speak(request, scope, is_timed))

    async def _call(self, call):
        if self.refusal is not None:
            raise self.refusal
        limit, self.n_requests = self.lost_after.get(self.n_requests, 2**30), self.n_requests + 1
        messages = call()
        try:
            n_sent = 0
            async for message in messages:
                if n_sent == limit:
                    raise ReplicaEnded
                yield pickle.loads(pickle.dumps(message))
                n_sent += 1
        finally:
            await messages.aclose()
            self.n_closed += 1


@contextmanager
def gateway_client(workers, primary, settings=SETTINGS, max_sockets=128):
    """Yields a client of a gateway in front of these replicas."""

    async def open_all():
        await asyncio.gather(workers.replica.open(), primary.replica.open())

    async def close_all():
        await asyncio.gather(workers.replica.close(), primary.replica.close())

    with TestClient(create_gateway(settings, workers, primary, max_sockets), raise_server_exceptions=False) as client:
        client.portal.call(open_all)
        yield client
        client.portal.call(close_all)
