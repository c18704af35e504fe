"""The hardware of this machine: instruction sets, number formats, cores and accelerators.

Every decision that depends on the machine reads it here, so that tests can replace the machine as a whole.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_current: Hardware | None = None


@dataclass(frozen=True, slots=True)
class Hardware:
    """What PyTorch can use on a machine.

    `instructions` is PyTorch's own name of the vector kernels in use (`DEFAULT`, `AVX2`, `AVX512`, `NEON`, ...);
    `has_bf16_matmul` and `has_fp16_matmul` mean oneDNN products that are not emulated in float32.
    """

    processor: str
    architecture: str
    n_cores: int
    instructions: str = "DEFAULT"
    has_vnni: bool = False
    has_onednn: bool = False
    has_bf16_matmul: bool = False
    has_fp16_matmul: bool = False
    has_fbgemm: bool = False
    has_mps: bool = False
    cuda_devices: tuple[CudaDevice, ...] = ()


@dataclass(frozen=True, slots=True)
class CudaDevice:
    """One NVIDIA GPU. `capability` is CUDA's compute capability, such as (8, 9)."""

    name: str
    capability: tuple[int, int]

    @property
    def has_bf16(self) -> bool:
        return self.capability >= (8, 0)

    @property
    def has_tf32(self) -> bool:
        return self.capability >= (8, 0)


def current_hardware() -> Hardware:
    """Returns the hardware of this machine, detected on the first call."""
    global _current
    if _current is None:
        _current = detect_hardware()
    return _current


@contextmanager
def replace_hardware(hardware: Hardware) -> Iterator[None]:
    """Use `hardware` instead of this machine's inside the block. For tests: kernels still run on the real machine."""
    global _current
    before, _current = current_hardware(), hardware
    try:
        yield
    finally:
        _current = before


def detect_hardware() -> Hardware:
    """Reads the machine's capabilities from PyTorch and the operating system."""
    import torch  # seconds to import: paid by the callers that compute, not by those that only import

    has_onednn = torch.backends.mkldnn.is_available()
    n_cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return Hardware(
        processor=processor_name(),
        architecture=platform.machine().lower(),
        n_cores=usable_cores(),
        instructions=torch.backends.cpu.get_cpu_capability(),
        has_vnni=torch.cpu._is_vnni_supported(),
        has_onednn=has_onednn,
        has_bf16_matmul=has_onednn and torch.ops.mkldnn._is_mkldnn_bf16_supported(),
        has_fp16_matmul=has_onednn and torch.ops.mkldnn._is_mkldnn_fp16_supported(),
        has_fbgemm="fbgemm" in torch.backends.quantized.supported_engines,
        has_mps=torch.backends.mps.is_available(),
        cuda_devices=tuple(
            CudaDevice(torch.cuda.get_device_name(index), torch.cuda.get_device_capability(index))
            for index in range(n_cuda)
        ),
    )


def usable_cores() -> int:
    """Returns the number of cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor_name() -> str:
    """Returns the processor's marketing name where the operating system has it, else its architecture."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
