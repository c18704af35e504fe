"""Every form of products gives the exact integers."""

import numpy as np
import pytest

numba = pytest.importorskip("numba")

from backend.hardware import current_hardware  # noqa: E402
from backend.optimize.cpu_kernel.matrices import aligned  # noqa: E402
from backend.optimize.cpu_kernel.products import FORMS, dot_rows  # noqa: E402
from backend.optimize.cpu_kernel.stack import dot, exponential  # noqa: E402
from backend.optimize.cpu_kernel.vectors import load_floats, store_16_dots, store_float, store_floats  # noqa: E402


def is_supported(form):
    hardware = current_hardware()
    if form == "vnni":
        return hardware.has_vnni and hardware.instructions == "AVX512"
    return form == "portable" or hardware.instructions in ("AVX2", "AVX512")


@pytest.mark.parametrize("n_rows", [1, 4])
@pytest.mark.parametrize("form", FORMS)
def test_sums_equal_numpys(form, n_rows):
    if not is_supported(form):
        pytest.skip(f"no {form} here")
    dot = dot_rows(form, n_rows)

    @numba.njit
    def run(weights, levels, stride, n_steps, sums):
        dot(weights, levels, stride, n_steps, sums)

    generator, n_inputs = np.random.default_rng(0), 80
    weights = aligned((n_inputs // 4, 16, 4), np.int8)
    weights[:] = generator.integers(-127, 128, weights.shape)
    levels = generator.integers(1, 256, (n_rows, n_inputs)).astype(np.uint8)
    # The largest possible sums of pairs: they must not saturate.
    weights[:, 0], levels[0] = 127, 255
    weights[:, 1] = -127
    sums = np.zeros((n_rows, 16), np.int32)
    run(weights.ctypes.data, levels.ctypes.data, n_inputs, n_inputs // 16, sums.ctypes.data)
    matrix = weights.transpose(1, 0, 2).reshape(16, n_inputs).astype(np.int64)
    assert (sums == levels.astype(np.int64) @ matrix.T).all()


def test_exponential_is_accurate():
    @numba.njit
    def run(x, y, n):
        for i in range(0, n, 16):
            store_floats(y + 4 * i, exponential(load_floats(x + 4 * i)))

    x = np.linspace(-86, 86, 4096, dtype=np.float32)
    y = np.zeros_like(x)
    run(x.ctypes.data, y.ctypes.data, len(x))
    assert (np.abs(y / np.exp(x.astype(np.float64)) - 1)).max() < 2e-7


def test_sixteen_keys_together_give_each_keys_bits():
    @numba.njit
    def run(query, keys, d, together, alone):
        store_16_dots(query, keys, 4 * d, d // 16, together)
        for k in range(16):
            store_float(alone + 4 * k, dot(query, keys + 4 * d * k, d))

    generator, d = np.random.default_rng(0), 80
    query, keys = (generator.standard_normal(shape).astype(np.float32) for shape in (d, (16, d)))
    together, alone = np.zeros((2, 16), np.float32)
    run(*(array.ctypes.data for array in (query, keys)), d, together.ctypes.data, alone.ctypes.data)
    assert (together == alone).all() and np.allclose(together, keys @ query, rtol=1e-4)
