"""A door in front of the `speakers` of a test, and a desk."""

import pytest

from tests.support.fake_engine import FakeEngine
from tests.support.local_cluster import Here, opened


@pytest.fixture
def desk():
    return Here(FakeEngine(), "desk")


@pytest.fixture
def http(speakers, desk):
    with opened(speakers, desk) as client:
        yield client
