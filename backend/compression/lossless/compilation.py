"""How the parts of the cascade are compiled: without the options that would change a result.

No fast-math and no fused multiply-add (numba adds neither by itself), so doubles follow IEEE 754 step by step.
"""

from __future__ import annotations

from numba import njit

# Parts are called by compiled code only; wrappers for Python would take a third of the time to compile.
compiled = njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)  # type: ignore[call-overload]
