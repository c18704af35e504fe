"""A gateway in front of the test's `workers` and a primary replica."""

import pytest

from tests.support.fake_engine import FakeEngine
from tests.support.local_cluster import LocalReplicas, gateway_client


@pytest.fixture
def primary():
    return LocalReplicas(FakeEngine(), "primary")


@pytest.fixture
def http(workers, primary):
    with gateway_client(workers, primary) as client:
        yield client
