import io
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.codes import CodecSpec
from backend.compression.codes.container import ContainerReader, ContainerWriter
from backend.compression.codes.header import ContainerHeader
from backend.errors import BadCodes, BadContainer, CodebookMismatch
from tests.support.pgc_files import HASH, header, read, write
from tests.support.repository import ROOT

DOCUMENT = ROOT / "docs" / "pgc.md"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([2, 3, 10, 1000, 1024, 4096, 65536]), min_size=1, max_size=9),
    st.integers(0, 200),
    st.lists(st.integers(0, 200), max_size=4),
    st.integers(1, 64),
    st.booleans(),
)
def test_round_trip_is_lossless_for_any_chunking(sizes, n_frames, pushes, block_frames, is_announced):
    generator = np.random.default_rng(n_frames)
    indices = generator.integers(0, np.array(sizes)[:, None], size=(len(sizes), n_frames))
    announced = header(sizes, n_frames if is_announced else None)
    content = write(indices, announced, pushes, block_frames=block_frames)
    assert content == write(indices, announced, block_frames=block_frames)
    reader, found = read(content)
    assert np.array_equal(found, indices)
    assert reader.header == header(sizes, n_frames)


def test_header_of_a_spec_keeps_the_first_codebooks():
    spec = CodecSpec("fish", 44100, 2048, (4096, 1024, 1024))
    made = ContainerHeader.of(spec, HASH, 2, n_samples=5000, n_frames=3)
    assert made.codebook_sizes == (4096, 1024) and made.code_bits == (12, 10)
    assert made.weights_hash == HASH[:32]


def test_writer_output_equals_the_documented_bytes():
    """The hex dump in docs/pgc.md is a whole file; a reader in another language can be checked against it."""
    dump = re.search(r"```hex\n(.*?)```", DOCUMENT.read_text(), re.DOTALL).group(1)
    documented = bytes.fromhex("".join(line.split("|")[0] for line in dump.splitlines()))
    spec = CodecSpec("demo", 16000, 320, (1024, 16))
    file = io.BytesIO()
    writer = ContainerWriter(file, ContainerHeader.of(spec, "00112233445566778899aabbccddeeff", None, 900, 3))
    writer.push(np.array([[1, 1023, 512], [15, 0, 7]]))
    writer.finish(900)
    assert file.getvalue() == documented


def test_writer_rejects_codes_and_counts_not_in_the_header():
    with pytest.raises(BadCodes, match="0 to 10"):
        ContainerWriter(io.BytesIO(), header()).push(np.array([[0], [10]]))
    with pytest.raises(BadCodes):
        ContainerWriter(io.BytesIO(), header()).push(np.array([[0], [-1]]))
    with pytest.raises(CodebookMismatch, match=r"\[2, T\]"):
        ContainerWriter(io.BytesIO(), header()).push(np.zeros((3, 4), dtype=int))
    writer = ContainerWriter(io.BytesIO(), header(n_frames=5))
    writer.push(np.zeros((2, 4), dtype=int))
    with pytest.raises(BadContainer, match="announced 80 in 5"):
        writer.finish(64)


@pytest.mark.parametrize(
    "changes",
    [
        {"codec": "../x"}, {"codec": ""}, {"codec": "x" * 65}, {"weights_hash": "zz"}, {"sample_rate_hz": 0},
        {"hop_samples": 0}, {"channels": 0}, {"codebook_sizes": ()}, {"codebook_sizes": (1,)},
        {"codebook_sizes": (65537,)}, {"codebook_sizes": (4,) * 256}, {"n_samples": 1}, {"n_frames": 2**64},
        {"n_samples": 33, "n_frames": 2},
    ],
)  # fmt: skip
def test_invalid_headers_are_rejected(changes):
    with pytest.raises(BadContainer, match="invalid"):
        header(**changes)


def test_damage_is_named():
    indices = np.arange(40).reshape(2, 20) % 10
    content = write(indices, header(n_frames=20), block_frames=8)
    for damaged, finding in (
        (b"RIFF" + content[4:], "starts with b'RIFF'"),
        (content[:4] + b"\x02" + content[5:], "version 2"),
        (content[:-1], "inside the end marker"),
        (content + b"x", "follows its end marker"),
        (content[:60], "inside the header"),
        (b"", "inside the header"),
        (content[:-1] + bytes([content[-1] ^ 1]), "checksum"),
    ):
        with pytest.raises(BadContainer, match=finding):
            read(damaged)


def test_swapped_and_dropped_blocks_are_detected_at_the_block():
    indices = np.arange(48).reshape(2, 24) % 10
    content = write(indices, header(n_frames=24), block_frames=8)
    start, block = len(header().to_bytes()) + 4, 6 + 8 + 4
    first, second = content[start : start + block], content[start + block : start + 2 * block]
    swapped = content[:start] + second + first + content[start + 2 * block :]
    dropped = content[:start] + content[start + block :]
    for damaged in (swapped, dropped):
        blocks = iter(ContainerReader(io.BytesIO(damaged)))
        with pytest.raises(BadContainer, match="a block has checksum"):
            next(blocks)


def test_oversized_lengths_allocate_nothing():
    import tracemalloc

    claims = header(n_samples=2**60, n_frames=2**60)
    file = io.BytesIO()
    ContainerWriter(file, claims)
    tracemalloc.start()
    with pytest.raises(BadContainer, match="ends inside"):
        read(file.getvalue())
    with pytest.raises(BadContainer, match="declares 4294967295 bytes"):
        read(file.getvalue() + b"\xff\xff" + b"\xff\xff\xff\xff")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 200_000
