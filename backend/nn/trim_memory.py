"""Returns freed memory to the operating system after rare, large allocations; not for use per request."""

from __future__ import annotations

import ctypes
import sys


def return_freed_memory() -> None:
    """Returns the pages of freed tensors to the system, which glibc would keep; other allocators need no help."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
