"""Compiles the kernels in a background thread, once for this machine; later starts load them from numba's cache."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from backend.hardware import Hardware, current_hardware

if TYPE_CHECKING:
    from backend.optimize.cpu_kernel.products import Form

log = logging.getLogger(__name__)
State = Literal["compiling", "ready", "failed"]
CPU_NAME = "NUMBA_CPU_NAME"


class Functions(NamedTuple):
    """Compiled functions of (address of the team, thread, number of threads[, jobs seen])."""

    run: Callable[[int, int, int], bool]
    serve: Callable[[int, int, int, int], int]


class Compilation:
    """The kernels in one form of products, compiled by a thread that starts with this object."""

    def __init__(self, form: Form):
        self.form = form
        self.functions: Functions | None = None
        self.state: State = "compiling"
        self.reason = f"compiling for {form}"
        self.compile_s = 0.0
        self._is_known = threading.Event()  # ready, failed, or certainly not in the cache
        self._is_done = threading.Event()
        threading.Thread(target=self._compile, name="compile-cpu-kernel").start()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Waits until compiled or failed; returns whether the functions are ready."""
        self._is_done.wait(timeout_s)
        return self.state == "ready"

    def wait_for_cache(self) -> bool:
        """Waits while the functions load from the cache, not while they compile; returns whether they are ready."""
        self._is_known.wait()
        return self.state == "ready"

    def _compile(self) -> None:
        start = time.perf_counter()
        try:
            self.functions = self._functions()
        except Exception as error:  # the compiler's errors have no common class; the plain path stays
            self.state, self.reason = "failed", f"the kernels cannot be compiled here: {type(error).__name__}"
            log.warning("%s", self.reason, exc_info=True)
        else:
            self.compile_s = time.perf_counter() - start
            self.state, self.reason = "ready", f"compiled for {self.form}"
            log.info("CPU kernels ready after %.1f s (%s)", self.compile_s, self.form)
        self._is_known.set()
        self._is_done.set()

    def _functions(self) -> Functions:
        # Imported here: numba takes a second to load.
        import llvmlite.binding
        from numba.core import event

        from backend.optimize.cpu_kernel.atomics import YIELD
        from backend.optimize.cpu_kernel.program import build

        llvmlite.binding.add_symbol(YIELD, _yield_address())
        me, known = threading.get_ident(), self._is_known

        class Announcement(event.Listener):
            def on_start(self, event: Any) -> None:
                if threading.get_ident() == me and not known.is_set():
                    log.info("compiling CPU kernels, once for this machine")
                    known.set()

            def on_end(self, event: Any) -> None:
                pass

        program = build(self.form, _digest(self.form))
        with event.install_listener("numba:compile", Announcement()):
            for function, signature in program:
                function.compile(signature)
        (run, _), (serve, _) = program
        return Functions(run, serve)


@cache
def compilation(form: Form | None = None) -> Compilation:
    """Returns the compilation for `form` (default: the fastest here), started by the first call."""
    return Compilation(form or best_form(current_hardware()))


def best_form(hardware: Hardware) -> Form:
    """Returns the form of products for `hardware`. A compiler told to target another processor gets plain operations."""
    if os.environ.get(CPU_NAME):
        return "portable"
    if hardware.has_vnni and hardware.instructions == "AVX512":
        return "vnni"
    return "avx2" if hardware.instructions in ("AVX2", "AVX512") else "portable"


def missing_reason() -> str | None:
    """Returns why nothing can be compiled here, or None."""
    return None if find_spec("numba") is not None else "numba is not installed"


def _digest(form: Form) -> str:
    digest = hashlib.sha256(f"{form} {os.environ.get(CPU_NAME)}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def _yield_address() -> int:
    """Returns the address of the system's function that lets other threads run."""
    import ctypes
    import sys

    if sys.platform == "win32":
        function = ctypes.windll.kernel32.SwitchToThread
    else:
        function = ctypes.CDLL(None).sched_yield
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address
    return address
