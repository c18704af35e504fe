import io

import numpy as np
import pytest
import soundfile

from backend.audio.files import read_audio
from backend.audio.lossy_encoder import CODINGS
from backend.audio.mp3 import FrameHeader
from backend.audio.resample import resampled_length
from backend.audio.writers import LOSSY, open_writer
from backend.data import synthetic
from backend.errors import BadAudio, OutputError
from tests.support.audio_decoding import AAC_PRIMING, MP3_PRIMING, decoded

FRAME_SAMPLES = {"mp3": 1152, "opus": 960, "aac": 1024, "m4b": 1024}
CODING_OF = {"m4b": "aac"}


def sound(n_samples: int, rate_hz: int, n_channels: int = 1) -> np.ndarray:
    """Different tones in each channel up to the last sample, to detect a lost end or swapped channels."""
    times_s = np.arange(n_samples) / rate_hz
    tones = [np.sin(2 * np.pi * (300 + 170 * channel) * times_s) for channel in range(n_channels)]
    return (0.3 * np.stack(tones)).astype(np.float32)


def written(format: str, samples: np.ndarray, rate_hz: int, piece_samples: int, n_samples: int | None = None) -> bytes:
    writer = open_writer(format, rate_hz, samples.shape[0], n_samples)
    pieces = [samples[:, at : at + piece_samples] for at in range(0, samples.shape[1], piece_samples)]
    return b"".join([*map(writer.push, pieces), writer.finish()])


def legal_rate_hz(format: str, rate_hz: int) -> int:
    return CODINGS[CODING_OF.get(format, format)].legal_rate_hz(rate_hz)


@pytest.mark.parametrize("format", LOSSY)
@pytest.mark.parametrize(("rate_hz", "n_channels"), [(8000, 1), (24000, 1), (24000, 2), (44100, 1), (96000, 1)])
def test_output_bytes_do_not_depend_on_the_chunking(format, rate_hz, n_channels):
    samples = sound(rate_hz // 2 + 17, rate_hz, n_channels)
    whole = written(format, samples, rate_hz, samples.shape[1])
    assert len(whole) > 1000
    assert whole == written(format, samples, rate_hz, 333) == written(format, samples, rate_hz, 4801)


@pytest.mark.parametrize("duration_s", [0.1, 0.37, 1.0, 2.501])
@pytest.mark.parametrize("rate_hz", [16000, 24000, 44100])
@pytest.mark.parametrize("format", ["mp3", "opus"])
def test_decoded_length_equals_the_input_length(format, rate_hz, duration_s):
    n_samples = round(duration_s * rate_hz)
    samples = sound(n_samples, rate_hz)
    read, read_hz = decoded(written(format, samples, rate_hz, 1000, n_samples), format)
    # libav decodes every Opus at 48 kHz.
    assert abs(read.shape[1] - n_samples * read_hz / rate_hz) <= read_hz / rate_hz
    # libsndfile, which `read_audio` uses, agrees.
    own = read_audio(written(format, samples, rate_hz, 1000, n_samples))
    assert own.n_samples == resampled_length(n_samples, rate_hz, own.rate_hz)
    assert own.rate_hz == legal_rate_hz(format, rate_hz)


@pytest.mark.parametrize("duration_s", [0.1, 1.0, 3.33])
@pytest.mark.parametrize("rate_hz", [24000, 44100])
@pytest.mark.parametrize("format", LOSSY)
@pytest.mark.parametrize("is_length_known", [True, False])
def test_decoded_audio_is_complete_and_aligned(format, rate_hz, duration_s, is_length_known):
    n_samples = round(duration_s * rate_hz)
    content = written(format, sound(n_samples, rate_hz), rate_hz, 700, n_samples if is_length_known else None)
    read, read_hz = decoded(content, format)
    expected = sound(round(n_samples * read_hz / rate_hz), read_hz)[0]
    # Priming that the container does not describe: raw AAC, and MP3 of unknown length.
    priming = AAC_PRIMING if format == "aac" else MP3_PRIMING if format == "mp3" and not is_length_known else 0
    ends = read[0, priming : priming + len(expected)]
    assert len(ends) >= len(expected) - 1
    surplus = read.shape[1] - priming - len(expected)
    assert surplus < FRAME_SAMPLES[format]
    ends, expected = ends[: len(expected)], expected[: len(ends)]
    for part in (slice(0, len(ends)), slice(-(read_hz // 50), None)):
        error = np.sqrt(np.mean((ends[part] - expected[part]) ** 2))
        assert error < 0.06, f"{20 * np.log10(0.212 / error):.1f} dB"


@pytest.mark.parametrize("format", ["mp3", "opus", "aac"])
def test_thirty_seconds_are_decoded_completely(format):
    samples = sound(30 * 24000, 24000)
    read, read_hz = decoded(written(format, samples, 24000, 24000), format)
    level = np.sqrt(np.mean(read[0, -read_hz // 4 : -read_hz // 10] ** 2))
    assert 30 * read_hz <= read.shape[1] < 30 * read_hz + 2 * FRAME_SAMPLES[format] + MP3_PRIMING
    assert level == pytest.approx(0.212, rel=0.05)


@pytest.mark.parametrize("format", LOSSY)
def test_bytes_are_emitted_during_encoding(format):
    writer = open_writer(format, 24000, 1)
    sizes = [len(writer.push(piece)) for piece in np.split(sound(48000, 24000), 20, axis=1)]
    # An MP4 fragment is half a second; the other formats emit bytes at least every 0.1 s.
    first_by = 8 if format == "m4b" else 3
    assert sum(sizes[:first_by]) > 500
    assert len(writer.finish()) < sum(sizes)


def test_streamed_mp3_equals_the_whole_file_without_its_tag_frame():
    samples = sound(24000, 24000)
    whole, streamed = written("mp3", samples, 24000, 24000, 24000), written("mp3", samples, 24000, 800)
    tag = FrameHeader.parse(whole, 0)
    assert whole[tag.length_bytes :] == streamed
    assert whole[tag.tag_offset : tag.tag_offset + 4] == b"Info"


def test_channels_are_not_swapped():
    samples = sound(12000, 24000, n_channels=2)
    for format in LOSSY:
        read, _ = decoded(written(format, samples, 24000, 1000), format)
        peaks = [
            np.argmax(np.abs(np.fft.rfft(channel))) * (24000 if format != "opus" else 48000) / len(channel)
            for channel in read
        ]
        assert peaks == pytest.approx([300, 470], abs=5), format


@pytest.mark.parametrize(("format", "bitrates_kbps"), [("mp3", (32, 160)), ("opus", (16, 96)), ("aac", (32, 128))])
def test_requested_bitrate_is_used(format, bitrates_kbps):
    speech = synthetic.speech_like(4.0, 24000)
    for kbps in bitrates_kbps:
        writer = open_writer(format, 24000, 1, bitrate_kbps=kbps)
        n_bytes = len(writer.push(speech) + writer.finish())
        assert n_bytes * 8 / 4000 == pytest.approx(kbps, rel=0.35)


def test_unsupported_bitrates_and_channel_counts_are_rejected():
    for format, kbps in [("mp3", 320), ("opus", 4), ("aac", 400)]:
        with pytest.raises(OutputError, match=f"{kbps} kbps"):
            open_writer(format, 24000, 1, bitrate_kbps=kbps)
    with pytest.raises(OutputError, match="no bitrate"):
        open_writer("flac", 24000, 1, bitrate_kbps=64)
    for format in LOSSY:
        with pytest.raises(OutputError, match="channels"):
            open_writer(format, 24000, 3)


@pytest.mark.parametrize("format", LOSSY)
def test_length_finish_shape_and_nan_are_checked(format):
    with pytest.raises(BadAudio, match="NaN"):
        open_writer(format, 24000, 1).push(np.full((1, 10), np.nan, np.float32))
    with pytest.raises(BadAudio, match="takes"):
        open_writer(format, 24000, 2).push(np.zeros((1, 10), np.float32))
    writer = open_writer(format, 24000, 1, n_samples=20)
    writer.push(np.zeros((1, 10), np.float32))
    with pytest.raises(OutputError, match="10 samples were written; the header gives 20"):
        writer.finish()
    with pytest.raises(RuntimeError, match="finished"):
        writer.push(np.zeros((1, 10), np.float32))


@pytest.mark.parametrize("format", LOSSY)
def test_empty_stream_can_be_finished(format):
    assert len(open_writer(format, 24000, 1).finish()) < 2000


def test_full_scale_is_not_wrapped():
    loud = np.where(sound(24000, 24000) > 0, 1.5, -1.5).astype(np.float32)
    for format in ("mp3", "opus"):
        content = written(format, loud, 24000, 1000, 24000)
        read, rate_hz = soundfile.read(io.BytesIO(content))
        # A wrapped peak would have the wrong sign in the middle of its half wave.
        middle = read[rate_hz // 1200 :: rate_hz // 300][: len(read) // (rate_hz // 300) - 2]
        assert (middle > 0.3).all(), format
