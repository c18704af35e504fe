"""The parts of the deployment that need no Ray."""

import os
import signal
from importlib.util import find_spec

import pytest

from backend.cluster.ray_serve import connect, defer_interrupt
from backend.errors import NotAvailable


@pytest.mark.skipif(os.name != "posix", reason="a process cannot send itself Ctrl-C alone there")
def test_interrupt_is_deferred_to_the_end_of_the_block():
    before, is_whole = signal.getsignal(signal.SIGINT), False
    with pytest.raises(KeyboardInterrupt), defer_interrupt():
        os.kill(os.getpid(), signal.SIGINT)
        is_whole = True
    assert is_whole and signal.getsignal(signal.SIGINT) is before
    with defer_interrupt():
        pass


@pytest.mark.skipif(find_spec("ray") is not None, reason="the extra 'cluster' is installed")
def test_missing_ray_error_explains_the_installation():
    with pytest.raises(NotAvailable, match="pip install"):
        connect(None)
