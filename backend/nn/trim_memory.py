"""Memory that was freed goes back to the system: after work that is rare and large, never for a request."""

from __future__ import annotations

import ctypes
import sys


def return_freed_memory() -> None:
    """Give the pages of freed tensors back. glibc keeps them otherwise; others need no help."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
