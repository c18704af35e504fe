"""Chooses the PyTorch wheels for this machine, from the version of the NVIDIA driver."""

from __future__ import annotations

import ctypes
import sys
import urllib.error
import urllib.request

from launcher.place import IS_WINDOWS

TORCH = "torch==2.13.0"
TORCH_INDEX = "https://download.pytorch.org/whl/"
PROBE_LIMIT_S = 3.0


def nvidia_cuda_version() -> int | None:
    """Return the newest CUDA version that the NVIDIA driver supports, 13000 for 13.0; None without a driver or GPU.

    Calls the driver library, which works without nvidia-smi on the path.
    """
    try:
        library = ctypes.CDLL("nvcuda.dll" if IS_WINDOWS else "libcuda.so.1")
        version, n_gpus = ctypes.c_int(), ctypes.c_int()
        is_available = (
            library.cuInit(0) == 0
            and library.cuDriverGetVersion(ctypes.byref(version)) == 0
            and library.cuDeviceGetCount(ctypes.byref(n_gpus)) == 0
        )
        return version.value if is_available and n_gpus.value else None
    except (OSError, AttributeError):
        return None


def torch_index(cuda_version: int | None) -> str | None:
    """Return the wheel index for this machine; None is the default one."""
    if cuda_version:
        # 580 is the first driver with CUDA 13.
        url = TORCH_INDEX + ("cu130" if cuda_version >= 13000 else "cu126")
    elif sys.platform == "linux":
        # The default Linux wheels include gigabytes of CUDA libraries.
        url = TORCH_INDEX + "cpu"
    else:
        return None
    return url if is_reachable(url + "/torch/") else None


def is_reachable(url: str) -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PROBE_LIMIT_S):
            return True
    except (urllib.error.URLError, OSError):
        return False


def torch_flavor(cuda_version: int | None, index: str | None) -> str:
    device = f"an NVIDIA GPU (CUDA {cuda_version // 1000}.{cuda_version % 1000 // 10})" if cuda_version else "CPU"
    return f"{device}, from {index or 'the default package index'}"
