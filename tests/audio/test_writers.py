import io
import wave
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from backend.audio.files import read_audio
from backend.audio.pcm import to_int16
from backend.audio.writers import FORMATS, LOSSY, open_writer
from backend.errors import BadAudio, OutputError

EXACT = [format for format in FORMATS if format not in LOSSY]


def written(format: str, samples: np.ndarray, n_cuts: int, n_samples: int | None, seed: int = 0) -> bytes:
    writer = open_writer(format, 24000, samples.shape[0], n_samples)
    cuts = np.sort(np.random.default_rng(seed).integers(0, samples.shape[1] + 1, n_cuts))
    return b"".join([writer.push(piece) for piece in np.split(samples, cuts, axis=1)] + [writer.finish()])


def decoded(format: str, content: bytes, n_channels: int) -> np.ndarray:
    if format == "pcm":
        return np.frombuffer(content, "<i2").reshape(-1, n_channels).T
    return to_int16(read_audio(content).samples)


@pytest.mark.parametrize("format", EXACT)
@pytest.mark.parametrize("n_channels", [1, 2, 3])
@pytest.mark.parametrize("n_samples", [1, 4095, 4097, 20000])
@pytest.mark.parametrize("is_length_known", [True, False])
def test_decoded_int16_does_not_depend_on_the_chunking(format, n_channels, n_samples, is_length_known):
    draw = np.random.default_rng(n_samples)
    samples = draw.normal(0, 0.5, (n_channels, n_samples)).astype(np.float32)
    known = n_samples if is_length_known else None
    files = [written(format, samples, n_cuts, known, seed=n_cuts) for n_cuts in (0, 1, 12)]
    assert files[1] == files[0] and files[2] == files[0]
    assert np.array_equal(decoded(format, files[0], n_channels), to_int16(samples))


@pytest.mark.parametrize("format", ["wav", "flac"])
def test_known_length_is_written_to_the_header(format):
    samples = np.random.default_rng(0).uniform(-1, 1, (2, 5000)).astype(np.float32)
    content = written(format, samples, 5, 5000)
    assert soundfile.info(io.BytesIO(content)).frames == 5000
    read, _ = soundfile.read(io.BytesIO(content), dtype="int16")
    assert np.array_equal(read.T, to_int16(samples))


def test_wav_header_has_the_length_if_known():
    samples = np.zeros((1, 100), np.float32)
    with wave.open(io.BytesIO(written("wav", samples, 0, 100))) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth(), file.getnframes()) == (1, 24000, 2, 100)
    content = written("wav", samples, 0, None)
    assert content[4:8] == content[40:44] == b"\xff\xff\xff\xff"


def test_wav_header_is_open_past_four_gigabytes():
    header = open_writer("wav", 48000, 2, 2**31).push(np.zeros((2, 0), np.float32))
    assert len(header) == 44 and header[40:44] == b"\xff\xff\xff\xff"


def test_flac_emits_bytes_during_encoding():
    writer = open_writer("flac", 24000, 1)
    noise = np.random.default_rng(0).uniform(-1, 1, (1, 2400)).astype(np.float32)
    sizes = [len(writer.push(noise)) for _ in range(20)]
    # A block of 4096 samples is complete at every second push at the latest.
    assert all(a + b > 2000 for a, b in pairwise(sizes[1:]))


@pytest.mark.parametrize("format", EXACT)
def test_full_scale_is_not_wrapped(format):
    content = written(format, np.array([[1.0, 2.0, -1.0, -2.0]], np.float32), 0, None)
    assert decoded(format, content, 1).tolist() == [[32767, 32767, -32768, -32768]]


@pytest.mark.parametrize("format", EXACT)
def test_push_and_finish_after_finish_are_errors(format):
    writer = open_writer(format, 24000, 1)
    writer.push(np.zeros((1, 10), np.float32))
    writer.finish()
    with pytest.raises(RuntimeError, match="finished"):
        writer.push(np.zeros((1, 10), np.float32))
    with pytest.raises(RuntimeError, match="finished"):
        writer.finish()


@pytest.mark.parametrize("format", EXACT)
def test_wrong_length_raises_output_error(format):
    writer = open_writer(format, 24000, 1, n_samples=20)
    writer.push(np.zeros((1, 10), np.float32))
    with pytest.raises(OutputError, match="10 samples were written; the header gives 20"):
        writer.finish()


@pytest.mark.parametrize("format", ["wav", "flac"])
def test_empty_stream_is_a_valid_header(format):
    content = open_writer(format, 24000, 1).finish()
    assert len(content) in (42, 44)
    with pytest.raises(BadAudio, match="no samples|damaged"):
        read_audio(content)


def test_empty_flac_header_equals_that_of_other_files():
    empty = open_writer("flac", 44100, 2).finish()
    writer = open_writer("flac", 44100, 2)
    full = writer.push(np.zeros((2, 5000), np.float32)) + writer.finish()
    # All but the flag of the last metadata block.
    assert empty[:4] + empty[5:] == full[:4] + full[5:42]


def test_unsupported_parameters_are_rejected():
    for arguments in [("aiff", 24000, 1), ("flac", 24000, 9), ("flac", 700_000, 1), ("wav", 0, 1), ("wav", 24000, 0)]:
        with pytest.raises(OutputError):
            open_writer(*arguments)
    with pytest.raises(BadAudio, match="takes"):
        open_writer("wav", 24000, 2).push(np.zeros((1, 10), np.float32))
    with pytest.raises(BadAudio, match="NaN"):
        open_writer("wav", 24000, 1).push(np.full((1, 10), np.nan, np.float32))
