"""The contract of every causal codec, as functions of a codec: a codec's tests run them through `LAWS`.

Each takes a small codec in eval mode with random weights and raises AssertionError with the measured values. A codec
with `code_margins(audio) -> [B, K, T]` may flip a code if the two nearest entries are almost equally near; any other
must give equal codes.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import NamedTuple

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from backend.codec.base import CausalCodec
from backend.codes import Codes
from backend.errors import BadCodes, CodebookMismatch
from backend.nn.state import state_bytes

WAVEFORM_TOLERANCE = 1e-5
MARGIN_TOLERANCE = 1e-5


class Flips(NamedTuple):
    """The difference of two encodings of the same audio."""

    n_flips: int  # codes that differ with a small margin, and their consequences
    n_codes: int


def noise(codec: CausalCodec, n_samples: int, batch: int = 2, seed: int = 0) -> Tensor:
    """Returns seeded noise [B, C, N], loud enough to reach many codes."""
    generator = torch.Generator().manual_seed(seed)
    return 0.3 * torch.randn(batch, codec.spec.channels, n_samples, generator=generator)


def compare_codes(codec: CausalCodec, audio: Tensor, expected: Codes, found: Codes) -> Flips:
    """Counts flipped codes of audio [B, C, N]; fails on any not excused by its margin.

    A flip changes the input of later codebooks in its frame, so only the first differing codebook needs a small margin.
    """
    assert found.indices.shape == expected.indices.shape, (found.indices.shape, expected.indices.shape)
    differs = found.indices != expected.indices
    if differs.any():
        assert hasattr(codec, "code_margins"), f"{int(differs.sum())} of {differs.numel()} codes differ"
        audio = torch.nn.functional.pad(audio, (0, -audio.shape[2] % codec.spec.hop_samples))
        margins = codec.code_margins(audio)[:, : differs.shape[1]]
        is_first = differs & (differs.cumsum(dim=1) == 1)
        worst = margins[is_first].max().item()
        assert worst < MARGIN_TOLERANCE, f"{int(differs.sum())} codes differ, at margins up to {worst:.2e}"
    return Flips(int(differs.sum()), differs.numel())


def encode_in_pieces(codec: CausalCodec, audio: Tensor, sizes: Sequence[int]) -> Codes:
    state = codec.init_state(audio.shape[0])
    pieces = [codec.encode(piece, state).indices for piece in audio.split(list(sizes), dim=2)]
    pieces.append(codec.finish(state).indices)
    return Codes(torch.cat(pieces, dim=2), codec.spec.name)


def decode_in_pieces(codec: CausalCodec, codes: Codes, sizes: Sequence[int]) -> Tensor:
    state = codec.init_state(codes.indices.shape[0])
    pieces = codes.indices.split(list(sizes), dim=2)
    return torch.cat([codec.decode(Codes(piece, codes.codec), state) for piece in pieces], dim=2)


def partitions(total: int) -> st.SearchStrategy[list[int]]:
    """Returns sizes that add up to `total`, including empty ones."""
    cuts = st.lists(st.integers(0, total), max_size=6).map(sorted)
    return cuts.map(lambda points: [end - start for start, end in zip([0, *points], [*points, total], strict=True)])


def streaming_encode_equals_whole_encode(codec: CausalCodec) -> None:
    n_samples = 9 * codec.spec.hop_samples + 3
    audio = noise(codec, n_samples)
    whole = codec.encode(audio)

    @settings(max_examples=12, deadline=None, database=None)
    @given(sizes=partitions(n_samples))
    def check(sizes: list[int]) -> None:
        compare_codes(codec, audio, whole, encode_in_pieces(codec, audio, sizes))

    check()
    single = [1] * (2 * codec.spec.hop_samples)
    compare_codes(codec, audio, whole, encode_in_pieces(codec, audio, [*single, n_samples - len(single)]))


def streaming_decode_equals_whole_decode(codec: CausalCodec) -> None:
    codes = codec.encode(noise(codec, 9 * codec.spec.hop_samples))
    whole = codec.decode(codes)

    @settings(max_examples=12, deadline=None, database=None)
    @given(sizes=partitions(codes.n_frames))
    def check(sizes: list[int]) -> None:
        error = (decode_in_pieces(codec, codes, sizes) - whole).abs().max().item()
        assert error <= WAVEFORM_TOLERANCE, f"waveform differs by {error:.2e} in pieces of {sizes} frames"

    check()


def lengths_follow_the_samples(codec: CausalCodec) -> None:
    """Every input sample is in some frame, there are no extra frames, and a frame decodes to hop samples."""
    hop = codec.spec.hop_samples
    for n_samples in (1, hop - 1, hop, hop + 1, 3 * hop + 5):
        audio = noise(codec, n_samples)
        frames = -(-n_samples // hop)
        assert codec.encode(audio).n_frames == frames
        assert encode_in_pieces(codec, audio, [n_samples]).n_frames == frames
        assert codec.decode(codec.encode(audio)).shape == (2, codec.spec.channels, frames * hop)
    assert codec.encode(noise(codec, 0)).n_frames == 0
    assert codec.decode(codec.encode(noise(codec, 0))).shape[2] == 0


def nothing_changes_before_its_cause(codec: CausalCodec) -> None:
    """Codes before the frame of a changed sample, and samples before a changed frame, stay bit-equal."""
    hop, frames = codec.spec.hop_samples, 6
    audio = noise(codec, frames * hop)
    codes = codec.encode(audio)
    sound = codec.decode(codes)
    for frame in (1, 3, 5):
        changed = audio.clone()
        changed[:, :, frame * hop :] += noise(codec, (frames - frame) * hop, seed=1)
        assert torch.equal(codec.encode(changed).indices[:, :, :frame], codes.indices[:, :, :frame])
        other = codes.indices.clone()
        other[:, :, frame:] = (other[:, :, frame:] + 1) % min(codec.spec.codebook_sizes)
        before = frame * hop
        assert torch.equal(codec.decode(Codes(other, codes.codec))[:, :, :before], sound[:, :, :before])


def measured_latency_is_the_declared_one(codec: CausalCodec) -> None:
    """Sets every sample of a frame to NaN, each in its own row, and finds the first affected output.

    NaN follows every dependency, also through a window value that is zero. Output sample o corresponds to input o -
    latency_samples. If input n reaches it, it waits for n - (o - latency_samples) + 1 samples; the longest wait is the
    algorithmic latency.
    """
    spec = codec.spec
    hop, margin = spec.hop_samples, 2 + -(-spec.latency_samples // spec.hop_samples)
    spoilt = torch.arange(margin * hop, (margin + 1) * hop)
    audio = noise(codec, (2 * margin + 1) * hop, batch=1).repeat(hop, 1, 1)
    audio[torch.arange(hop), :, spoilt] = torch.nan
    is_reached = codec.reconstruct(audio, is_quantized=False).audio.isnan().any(dim=1)
    assert is_reached.any(dim=1).all(), "a sample of the input reaches no output"
    first = is_reached.to(torch.uint8).argmax(dim=1)
    longest = int((spoilt - (first - spec.latency_samples) + 1).max())
    assert longest == codec.algorithmic_latency_samples, (longest, codec.algorithmic_latency_samples)


def reset_restarts_the_stream(codec: CausalCodec) -> None:
    hop = codec.spec.hop_samples
    audio, state = noise(codec, 4 * hop), codec.init_state(2)
    codec.decode(codec.encode(noise(codec, 2 * hop + 7, seed=1), state), state)
    state.reset()
    codes = codec.encode(audio, state)
    compare_codes(codec, audio, codec.encode(audio), codes)
    error = (codec.decode(codes, state) - codec.decode(codes)).abs().max().item()
    assert error <= WAVEFORM_TOLERANCE, error


def reset_of_one_row_leaves_the_others(codec: CausalCodec) -> None:
    """At a frame boundary the reset row restarts; the other row is unaffected."""
    hop = codec.spec.hop_samples
    past, audio, state = noise(codec, 3 * hop, seed=1), noise(codec, 4 * hop), codec.init_state(2)
    codec.decode(codec.encode(past, state), state)
    untouched = deepcopy(state)
    state.reset(torch.tensor([True, False]))
    codes, without = codec.encode(audio, state), codec.encode(audio, untouched)
    assert torch.equal(codes.indices[1], without.indices[1])
    compare_codes(codec, audio[:1], codec.encode(audio[:1]), Codes(codes.indices[:1], codes.codec))
    sound = codec.decode(codes, state)
    assert torch.equal(sound[1], codec.decode(codes, untouched)[1])
    fresh = codec.decode(Codes(codes.indices[:1], codes.codec))
    assert (sound[:1] - fresh).abs().max().item() <= WAVEFORM_TOLERANCE


def rows_do_not_hear_each_other(codec: CausalCodec) -> None:
    audio = noise(codec, 5 * codec.spec.hop_samples, batch=3)
    codes = codec.encode(audio)
    sound = codec.decode(codes)
    for row in range(3):
        alone = audio[row : row + 1]
        mine = Codes(codes.indices[row : row + 1], codes.codec)
        compare_codes(codec, alone, codec.encode(alone), mine)
        assert (codec.decode(mine) - sound[row : row + 1]).abs().max().item() <= WAVEFORM_TOLERANCE
    # Whatever another row contains, even NaN, this one stays bit-equal.
    broken = audio.clone()
    broken[1] = torch.nan
    assert torch.equal(codec.encode(broken).indices[[0, 2]], codes.indices[[0, 2]])


def fewer_codebooks_are_the_first_ones(codec: CausalCodec) -> None:
    audio = noise(codec, 4 * codec.spec.hop_samples)
    codes = codec.encode(audio)
    for kept in range(1, codec.spec.n_codebooks + 1):
        assert torch.equal(codec.encode(audio, n_codebooks=kept).indices, codes.first(kept).indices)
        sound = codec.decode(codes.first(kept))
        assert sound.shape == audio.shape and torch.isfinite(sound).all() and sound.abs().max() <= 1
    _refuses(BadCodes, lambda: codec.encode(audio, n_codebooks=codec.spec.n_codebooks + 1))
    too_many = torch.cat([codes.indices, codes.indices[:, :1]], dim=1)
    _refuses(CodebookMismatch, lambda: codec.decode(Codes(too_many, codes.codec)))
    _refuses(BadCodes, lambda: codec.decode(Codes(codes.indices, "another")))


def codes_stay_in_range(codec: CausalCodec) -> None:
    """Silence, noise and full scale give codes in range, and a code out of range is rejected."""
    hop = codec.spec.hop_samples
    for audio in (noise(codec, 8 * hop), torch.zeros(2, codec.spec.channels, 4 * hop), 10 * noise(codec, 4 * hop)):
        indices = codec.encode(audio).indices
        assert indices.dtype == torch.int64 and indices.min() >= 0
        for stage, size in enumerate(codec.spec.codebook_sizes):
            assert indices[:, stage].max() < size
    illegal = torch.zeros(1, codec.spec.n_codebooks, 2, dtype=torch.long)
    illegal[:, 0] = codec.spec.codebook_sizes[0]
    _refuses(BadCodes, lambda: codec.decode(Codes(illegal, codec.spec.name)))


def saved_weights_give_the_same_codes(codec: CausalCodec, other: CausalCodec) -> None:
    """`other` is the same codec from another seed."""
    audio = noise(codec, 6 * codec.spec.hop_samples)
    codes = codec.encode(audio)
    assert not torch.equal(other.encode(audio).indices, codes.indices), "the other codec is no other codec"
    other.load_state_dict(codec.state_dict())
    assert torch.equal(other.encode(audio).indices, codes.indices)
    assert torch.equal(other.decode(codes), codec.decode(codes))


def memory_stays_flat(codec: CausalCodec, duration_s: float = 120.0, chunk_s: float = 1.0) -> None:
    """A long streaming round trip keeps its state at a constant size and leaks nothing."""
    rate = codec.spec.sample_rate_hz
    chunk = noise(codec, int(chunk_s * rate), batch=1)
    state = codec.init_state(1)
    size_bytes, n_out, n_chunks = state_bytes(state), 0, int(duration_s / chunk_s)
    tracemalloc.start()
    try:
        for index in range(n_chunks):
            n_out += codec.decode(codec.encode(chunk, state), state).shape[2]
            if index == n_chunks // 10:
                settled_bytes = _live_bytes()
        assert state_bytes(state) == size_bytes
        grown_bytes = _live_bytes() - settled_bytes
    finally:
        tracemalloc.stop()
    n_in = n_chunks * chunk.shape[2]
    assert n_out == n_in // codec.spec.hop_samples * codec.spec.hop_samples
    assert grown_bytes < 64 * 1024, f"{grown_bytes} bytes grew over {duration_s:.0f} s"


def _live_bytes() -> int:
    """Python's own memory and every referenced tensor."""
    gc.collect()
    tensors = {t.data_ptr(): t.untyped_storage().nbytes() for t in gc.get_objects() if type(t) is Tensor}
    return tracemalloc.get_traced_memory()[0] + sum(tensors.values())


def _refuses(error: type[Exception], act: Callable[[], object]) -> None:
    try:
        act()
    except error:
        return
    raise AssertionError(f"{error.__name__} was not raised")


# Parameters of a codec's tests; `saved_weights_give_the_same_codes` takes a second codec and is called separately.
LAWS: tuple[Callable[[CausalCodec], None], ...] = (
    streaming_encode_equals_whole_encode,
    streaming_decode_equals_whole_decode,
    lengths_follow_the_samples,
    nothing_changes_before_its_cause,
    measured_latency_is_the_declared_one,
    reset_restarts_the_stream,
    reset_of_one_row_leaves_the_others,
    rows_do_not_hear_each_other,
    fewer_codebooks_are_the_first_ones,
    codes_stay_in_range,
    memory_stays_flat,
)
