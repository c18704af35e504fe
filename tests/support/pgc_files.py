"""Builds and reads `.pgc` files in memory."""

import io

import numpy as np

from backend.compression.codes.container import ContainerReader, ContainerWriter
from backend.compression.codes.header import ContainerHeader

HASH = "3f9a" * 16


def header(sizes=(10, 10), n_frames=None, **changes):
    values = {
        "codec": "tiny", "weights_hash": HASH, "sample_rate_hz": 8000, "hop_samples": 16, "channels": 1,
        "codebook_sizes": tuple(sizes), "n_samples": None if n_frames is None else n_frames * 16, "n_frames": n_frames,
    }  # fmt: skip
    return ContainerHeader(**{**values, **changes})


def write(indices, container_header, pushes=(), **options):
    file = io.BytesIO()
    writer = ContainerWriter(file, container_header, **options)
    for part in np.split(indices, sorted(p for p in pushes if p < indices.shape[1]), axis=1):
        writer.push(part)
    writer.finish(indices.shape[1] * 16)
    return file.getvalue()


def read(content):
    reader = ContainerReader(io.BytesIO(content))
    blocks = list(reader)
    return reader, np.concatenate([np.zeros((reader.header.n_codebooks, 0), dtype=np.int64), *blocks], axis=1)
