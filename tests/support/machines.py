"""A table of machines that plans and optimizations must work on, whatever machine runs the tests."""

from backend.hardware import CudaDevice, Hardware

X86_AVX2 = Hardware("x86 AVX2", "x86_64", 4, "AVX2", has_onednn=True, has_fbgemm=True)
MACHINES = {
    "x86 without AVX2": Hardware("old x86", "x86_64", 2, "DEFAULT", has_onednn=True, has_fbgemm=True),
    "x86 AVX2": X86_AVX2,
    "x86 AVX-512 VNNI": Hardware(
        "x86 VNNI", "x86_64", 8, "AVX512", has_vnni=True, has_onednn=True, has_bf16_matmul=True, has_fbgemm=True
    ),
    "x86 AVX512-FP16 AMX": Hardware(
        "x86 AMX", "x86_64", 8, "AVX512", has_vnni=True, has_onednn=True, has_bf16_matmul=True, has_fp16_matmul=True,
        has_fbgemm=True,
    ),
    "ARM NEON": Hardware("arm", "aarch64", 4, "DEFAULT", has_onednn=True, has_bf16_matmul=True),
    "Apple MPS": Hardware("Apple", "arm64", 8, "DEFAULT", has_mps=True),
    "no oneDNN": Hardware("plain", "x86_64", 2, "AVX2"),
    "one core": Hardware("x86 one core", "x86_64", 1, "AVX2", has_onednn=True, has_fbgemm=True),
    "64 cores": Hardware(
        "x86 64 cores", "x86_64", 64, "AVX512", has_vnni=True, has_onednn=True, has_bf16_matmul=True, has_fbgemm=True
    ),
    "CUDA GPU": Hardware(
        "x86 CUDA", "x86_64", 16, "AVX512", has_vnni=True, has_onednn=True, has_bf16_matmul=True, has_fbgemm=True,
        cuda_devices=(CudaDevice("RTX", (8, 9)),),
    ),
    "old CUDA GPU": Hardware(
        "x86 old CUDA", "x86_64", 8, "AVX2", has_onednn=True, has_fbgemm=True, cuda_devices=(CudaDevice("GTX", (6, 1)),)
    ),
}  # fmt: skip
