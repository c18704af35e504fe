"""Registry of optimizations by name."""

from __future__ import annotations

from collections.abc import Callable

from backend.optimize.backend_flags import BackendFlags
from backend.optimize.base import Optimization
from backend.optimize.codec.bf16_decoder import Bf16Decoder
from backend.optimize.codec.packed_dac import PackedDac
from backend.optimize.cpu_graph.model import CpuGraph
from backend.optimize.cpu_kernel.model import CpuKernel
from backend.optimize.cuda_graph.model import CudaGraph
from backend.optimize.cuda_streams import CudaStreams
from backend.optimize.fold_weight_norm import FoldWeightNorm
from backend.optimize.lowbit.int4 import Int4
from backend.optimize.lowbit.int8 import Int8
from backend.optimize.precision import Precision
from backend.optimize.threads import Threads
from backend.optimize.torch_compile import TorchCompile

OPTIMIZATIONS: dict[str, Callable[..., Optimization]] = {
    "precision_fp32": lambda: Precision("fp32"),
    "precision_bf16": lambda: Precision("bf16"),
    "precision_fp16": lambda: Precision("fp16"),
    "int8": Int8,
    "int4": Int4,
    "compile": TorchCompile,
    "cpu_graph": CpuGraph,
    "cpu_kernel": CpuKernel,
    "cuda_graph": CudaGraph,
    "fold_weight_norm": FoldWeightNorm,
    "packed_dac_fp32": lambda: PackedDac("fp32"),
    "packed_dac_bf16": lambda: PackedDac("bf16"),
    "bf16_decoder": Bf16Decoder,
    "threads": Threads,
    "streams": CudaStreams,
    "backend_flags": BackendFlags,
}
