"""The fake engine with a delay before the first chunk, long enough to be killed meanwhile."""

import time

from tests.support.fake_engine import FakeEngine

THINKING_S = 0.3


class SlowEngine(FakeEngine):
    def begin(self, request, client=""):
        stream = super().begin(request, client)
        time.sleep(THINKING_S)
        return stream


def build(settings):
    return SlowEngine()
