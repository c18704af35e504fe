"""The file that comes back is the file that went in, whatever it holds."""

import io
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.compression.lossless import blocks, cascade_payload
from backend.compression.lossless.container import Block
from backend.compression.lossless.pcm_layout import PcmLayout, samples_of
from backend.compression.lossless.stream import compress, decompress, in_order, read_frames
from backend.errors import BadAudio, BadContainer, BadRequest, LimitExceeded
from tests.support.pcm_files import aiff_bytes, chunk, music, wav_bytes

BLOCK = 300


def pgl(content, **options):
    options = {"level": 1, "block_frames": BLOCK, "is_verified": False, **options}
    target = io.BytesIO()
    report = compress(io.BytesIO(content), target, **options)
    assert report.compressed_bytes == len(target.getvalue())
    assert report.source_bytes == len(content)
    return target.getvalue()


def restored(packed, **options):
    target = io.BytesIO()
    decompress(io.BytesIO(packed), target, **options)
    return target.getvalue()


SIGNALS = {
    "silence": lambda n, top, g: np.zeros(n),
    "square": lambda n, top, g: np.where(np.arange(n) // 50 % 2, top, -top - 1),
    "noise": lambda n, top, g: g.integers(-top - 1, top + 1, n),
    "lowest": lambda n, top, g: np.full(n, -top - 1),
    "tone": lambda n, top, g: np.round(np.sin(np.arange(n) / 9) * top * 0.7),
    "click": lambda n, top, g: np.where(np.arange(n) == n // 2, top, 0),
    "ramp": lambda n, top, g: np.arange(n) % (top + 1),
    "coarse": lambda n, top, g: g.integers(-8, 8, n) * ((top + 1) // 8),
}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(
    n=st.sampled_from([0, 1, 2, 17, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK]),
    names=st.lists(st.sampled_from(sorted(SIGNALS)), min_size=1, max_size=8),
    width=st.sampled_from([1, 2, 3, 4]),
    rate_hz=st.sampled_from([1, 8000, 11025, 44100, 48000, 96000, 192000, 768000]),
    form=st.sampled_from(["wav", "extensible", "aiff", "sowt"]),
    level=st.sampled_from([1, 5]),
    seed=st.integers(0, 5),
    is_twin=st.booleans(),
)
def test_every_layout_comes_back_byte_for_byte(n, names, width, rate_hz, form, level, seed, is_twin):
    generator = np.random.default_rng(seed)
    top = 2 ** (8 * width - 1) - 1
    samples = np.stack([SIGNALS[name](n, top, generator) for name in names]).astype(np.int64).astype(np.int32)
    if is_twin and len(samples) > 1:
        samples[1] = samples[0]
    if form in ("aiff", "sowt"):
        content = aiff_bytes(samples, width, rate_hz, b"sowt" if form == "sowt" else b"")
    else:
        content = wav_bytes(samples, width, rate_hz, is_extensible=form == "extensible")
    assert restored(pgl(content, level=level)) == content


@pytest.mark.parametrize("width", [4, 8])
@pytest.mark.parametrize("kind", ["scaled", "free", "odd"])
def test_floats_come_back_bit_for_bit(width, kind):
    values = music(2 * BLOCK, 2) / 2.0**23
    if kind == "free":
        values = values * 1.1
    if kind == "odd":
        values[0, :6] = [np.nan, np.inf, -np.inf, -0.0, 1e-42, 3e38]
    content = wav_bytes(values, width, is_float=True)
    packed = pgl(content)
    assert restored(packed) == content
    if kind == "scaled":
        assert len(packed) < 0.55 * len(content)
    big = aiff_bytes(values, width, coding=b"fl32" if width == 4 else b"fl64")
    assert restored(pgl(big)) == big


ODD = {
    "list": {"before": chunk(b"LIST", b"INFOISFT\x05\0\0\0Lavf\0"), "after": chunk(b"id3 ", b"\x01\x02\x03")},
    "bext": {"before": chunk(b"bext", bytes(603))},
    "size zero": {"size": 0},
    "size unknown": {"size": 0xFFFFFFFF},
    "size too large": {"size": 5000},
    "tail": {"after": b"not a chunk"},
    "rf64": {
        "kind": b"RF64", "size": 0xFFFFFFFF,
        "before": b"ds64" + (28).to_bytes(4, "little") + (9999).to_bytes(8, "little") + (1200).to_bytes(8, "little")
        + bytes(12), "after": chunk(b"LIST", b"after"),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_wav_files_come_back_byte_for_byte(name):
    content = wav_bytes(music(BLOCK, 2), 2, **ODD[name])
    assert restored(pgl(content)) == content


def test_half_a_frame_at_the_end_comes_back():
    content = wav_bytes(music(BLOCK, 2), 2)[:-1]
    assert restored(pgl(content)) == content


def test_workers_change_no_byte():
    content = wav_bytes(music(4 * BLOCK + 7, 3), 2)
    packed = pgl(content, n_workers=1)
    assert pgl(content, n_workers=3, is_verified=True) == packed
    assert restored(packed, n_workers=3) == content


def test_predictable_sound_is_much_smaller_than_flac():
    samples = music(16000, 2)
    file = io.BytesIO()
    soundfile.write(file, samples.T.astype(np.int16), 44100, format="FLAC", subtype="PCM_16", compression_level=1.0)
    packed = pgl(wav_bytes(samples, 2), level=5, block_frames=1 << 19)
    assert len(packed) < 0.97 * len(file.getvalue())


@pytest.mark.parametrize("name", sorted(SIGNALS))
def test_no_signal_grows_beyond_flac(name):
    samples = np.stack([SIGNALS[name](5000, 32767, np.random.default_rng(1))] * 2).astype(np.int32)
    samples[1] = samples[1][::-1]
    file = io.BytesIO()
    soundfile.write(file, samples.T.astype(np.int16), 44100, format="FLAC", subtype="PCM_16", compression_level=1.0)
    assert len(pgl(wav_bytes(samples, 2), block_frames=1 << 19)) <= len(file.getvalue()) + 64


def test_any_frames_can_be_read_alone():
    samples = music(3 * BLOCK + 50, 2)
    content, packed = wav_bytes(samples, 2), pgl(wav_bytes(samples, 2))
    pcm = content[44:]
    for start, n in ((0, 10), (BLOCK - 3, 7), (BLOCK, BLOCK), (3 * BLOCK + 49, 100), (10, 0)):
        assert read_frames(io.BytesIO(packed), start, n) == pcm[4 * start : 4 * (start + n)]
    with pytest.raises(BadRequest):
        read_frames(io.BytesIO(packed), 3 * BLOCK + 51, 1)


class Pipe:
    """Gives few bytes at a time, and cannot seek."""

    def __init__(self, content):
        self._file = io.BytesIO(content)

    def read(self, n_bytes):
        return self._file.read(min(n_bytes, 1000))


def test_pipes_are_read_to_their_end():
    content = wav_bytes(music(2 * BLOCK, 1), 2, size=0xFFFFFFFF)
    target = io.BytesIO()
    compress(Pipe(content), target, level=1, block_frames=BLOCK)
    assert target.getvalue() == pgl(content)
    again = io.BytesIO()
    decompress(Pipe(target.getvalue()), again)
    assert again.getvalue() == content


def test_verification_notices_a_wrong_coder(monkeypatch):
    content = wav_bytes(music(BLOCK, 1), 2)
    monkeypatch.setattr(
        "backend.compression.lossless.stream.decode_block",
        lambda *arguments: b"\0" + blocks.decode_block(*arguments)[1:],
    )
    with pytest.raises(BadAudio, match="does not decode"):
        pgl(content, is_verified=True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "ends inside"),
        (b"OggS" + bytes(100), "expected a WAV or AIFF"),
        (b"fLaC" + bytes(100), "FLAC"),
        (wav_bytes(music(9, 1), 2)[:30], "ends inside"),
        (wav_bytes(music(9, 1), 2).replace(b"\x01\0\x01\0", b"\x06\0\x01\0"), "format 6"),
        (wav_bytes(music(9, 1), 2).replace(b"fmt ", b"fmx "), "no format chunk"),
        (wav_bytes(music(9, 1), 2).replace(b"WAVE", b"AVI "), "expected WAVE"),
        (aiff_bytes(music(9, 1), 2, coding=b"ulaw"), "ulaw"),
    ],
)
def test_other_files_are_refused_with_a_reason(content, words):
    with pytest.raises(BadAudio, match=words):
        pgl(content)


def test_levels_are_bounded():
    with pytest.raises(BadRequest, match="Level 10"):
        pgl(wav_bytes(music(9, 1), 2), level=10)


def test_decoded_size_is_bounded():
    packed = pgl(wav_bytes(np.zeros((2, 10 * BLOCK), np.int32), 2))
    assert len(packed) < 1000
    with pytest.raises(LimitExceeded):
        restored(packed, max_bytes=9 * BLOCK * 4)


def mutations(content, n, seed):
    generator = np.random.default_rng(seed)
    for _ in range(n):
        kind = generator.integers(4)
        at = int(generator.integers(len(content)))
        changed = bytearray(content)
        if kind == 0:
            changed[at] ^= 1 << int(generator.integers(8))
        elif kind == 1:
            del changed[at:]
        elif kind == 2:
            del changed[at : at + int(generator.integers(1, 20))]
        else:
            changed[at:at] = generator.bytes(int(generator.integers(1, 20)))
        if bytes(changed) != content:
            yield bytes(changed)


def check_mutated_pgl(n):
    packed = pgl(wav_bytes(music(2 * BLOCK + 40, 2), 2, **ODD["list"]))
    for changed in mutations(packed, n, seed=1):
        with pytest.raises(BadContainer) as caught:
            restored(changed)
        assert len(str(caught.value)) > 20


def check_mutated_wav(n):
    content = wav_bytes(music(60, 2), 2, **ODD["list"])
    n_refused = 0
    for changed in mutations(content, n, seed=2):
        try:
            packed = pgl(changed)
        except BadAudio as error:
            assert len(str(error)) > 20
            n_refused += 1
        else:
            assert restored(packed) == changed
    assert 0 < n_refused < n


def test_damaged_files_are_refused():
    check_mutated_pgl(120)


def test_damaged_wav_files_are_refused_or_kept_as_they_are():
    check_mutated_wav(60)


@pytest.mark.slow
def test_a_thousand_damaged_files_of_either_kind():
    check_mutated_pgl(1000)
    check_mutated_wav(1000)


def test_payloads_with_a_right_checksum_and_wrong_content_are_refused():
    content = music(1000, 2).T.astype("<i2").tobytes()
    layout = PcmLayout(2, 44100, 2)
    payload = cascade_payload.encode(samples_of(content, layout), 1, 44100)
    block = Block(1000, blocks.CASCADE, payload)
    generator = np.random.default_rng(3)
    for _ in range(60):
        changed = bytearray(payload)
        changed[int(generator.integers(len(payload)))] ^= 1 << int(generator.integers(8))
        broken = replace(block, payload=bytes(changed)[: None if generator.random() < 0.7 else -5])
        try:
            decoded = blocks.decode_block(broken.mode, broken.payload, 1000, layout)
        except BadContainer:
            continue
        assert len(decoded) == len(content)
    for mode in (blocks.RAW, blocks.LZMA, blocks.FLAC, blocks.SCALED, 9):
        with pytest.raises(BadContainer):
            blocks.decode_block(mode, payload, 1000, layout)


def test_results_come_in_order_and_errors_are_raised():
    assert list(in_order(lambda x: x * x, range(20), 3)) == [x * x for x in range(20)]
    with pytest.raises(ZeroDivisionError):
        list(in_order(lambda x: 1 // x, [1, 2, 0, 3], 2))
