import io
import subprocess
import sys
import tracemalloc
from itertools import product

import numpy as np
import pytest
import soundfile

from backend.audio.files import ENCODINGS, read_audio, write_audio
from backend.audio.pcm import to_int16
from backend.audio.waveform import Waveform
from backend.data import synthetic
from backend.errors import BadAudio, LimitExceeded, OutputError, PhonogramError

# Largest round-trip error of a coding; None for lossy ones, which are compared by correlation.
WIDTHS = {
    ("WAV", "PCM_U8"): 1 / 128, ("WAV", "PCM_16"): 1 / 32768, ("WAV", "PCM_24"): 2**-23, ("WAV", "PCM_32"): 2**-24,
    ("WAV", "FLOAT"): 1e-9, ("WAV", "DOUBLE"): 1e-9, ("WAV", "ULAW"): 0.02, ("WAV", "ALAW"): 0.02,
    ("WAVEX", "PCM_24"): 2**-23, ("RF64", "PCM_16"): 1 / 32768,
    ("FLAC", "PCM_16"): 1 / 32768, ("FLAC", "PCM_24"): 2**-23,
    ("OGG", "VORBIS"): None, ("OGG", "OPUS"): None, ("MP3", "MPEG_LAYER_III"): None,
}  # fmt: skip
RATES_HZ = (8000, 16000, 24000, 48000)
# Formats we write and read; AAC is only written.
WRITTEN = (*ENCODINGS, "mp3", "opus")


def sound(rate_hz: int, n_channels: int, duration_s: float = 0.3) -> np.ndarray:
    """Speech-like channels over different tones, since some seeds start with a pause."""
    channels = range(n_channels)
    voices = np.concatenate([synthetic.speech_like(duration_s, rate_hz, seed=channel) for channel in channels])
    tones = np.concatenate([synthetic.tone(duration_s, rate_hz, 200.0 + 50 * channel) for channel in channels])
    return voices + 0.2 * tones


def encoded(container: str, coding: str, samples: np.ndarray, rate_hz: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples.T, rate_hz, coding, format=container)
    return file.getvalue()


def similarity(read: np.ndarray, expected: np.ndarray, rate_hz: int) -> float:
    """Correlation in 0...1 of the worst channel, but for the last 10 ms, where Opus is rougher.

    The library places Opus at 24 kHz one sample early, so that much shift is allowed.
    """
    n = expected.shape[1] - rate_hz // 100
    worst = []
    for a, b in zip(read, expected, strict=True):
        shifted = [(a[1 + lag : n + lag], b[1:n]) for lag in (-1, 0, 1)]
        worst.append(max(np.dot(x, y) / np.sqrt(np.dot(x, x) * np.dot(y, y)) for x, y in shifted))
    return float(min(worst))


@pytest.mark.parametrize(
    ("container", "coding", "n_channels"),
    [(*kind, n_channels) for kind in WIDTHS for n_channels in (1, 2, 4) if n_channels <= 2 or kind[0] != "MP3"],
)
def test_all_formats_widths_rates_and_channel_counts_are_read(container, coding, n_channels):
    for rate_hz in RATES_HZ:
        samples = sound(rate_hz, n_channels)
        read = read_audio(encoded(container, coding, samples, rate_hz))
        assert read.rate_hz == rate_hz and read.samples.shape == samples.shape
        if WIDTHS[container, coding] is None:
            assert similarity(read.samples, samples, rate_hz) > 0.95
        else:
            assert np.abs(read.samples - samples).max() <= WIDTHS[container, coding]


@pytest.mark.parametrize("rate_hz", [11025, 22050, 44100, 96000, 192000])
def test_odd_and_high_rates_are_read(rate_hz):
    samples = sound(rate_hz, 1)
    for container in ("WAV", "FLAC"):
        read = read_audio(encoded(container, "PCM_16", to_int16(samples), rate_hz))
        assert np.array_equal(to_int16(read.samples), to_int16(samples))


def test_path_bytes_and_stream_give_the_same_audio(tmp_path):
    content = encoded("WAV", "PCM_16", sound(24000, 2), 24000)
    (tmp_path / "sound.wav").write_bytes(content)

    class Upload:
        """An unseekable stream, like a network body."""

        def read(self, n_bytes):
            return content[:n_bytes]

    for source in (tmp_path / "sound.wav", content, io.BytesIO(content), Upload()):
        assert np.array_equal(read_audio(source).samples, read_audio(content).samples)


def test_vbr_mp3_without_a_length_tag_is_read_completely():
    content = encoded("MP3", "MPEG_LAYER_III", sound(24000, 1, 3.0), 24000)
    tag_length = content.find(b"\xff\xf3", 4)
    read = read_audio(content[tag_length:])
    assert 72000 <= read.n_samples <= 72000 + 3 * 576
    assert read_audio(content).n_samples == 72000


def test_concatenated_mp3_files_with_tags_are_read_completely():
    content = encoded("MP3", "MPEG_LAYER_III", sound(24000, 1, 1.0), 24000)
    id3 = b"ID3\x03\x00\x00\x00\x00\x02\x01" + bytes(257)
    assert read_audio(id3 + content + b"TAG" + bytes(125)).n_samples == 24000
    assert read_audio(content + content).n_samples >= 48000


# Limits


def test_duration_limit_is_exact_to_the_sample():
    content = encoded("WAV", "PCM_16", synthetic.tone(1.0, 8000), 8000)
    assert read_audio(content, max_duration_s=1.0).n_samples == 8000
    with pytest.raises(LimitExceeded, match=r"limit of 0\.999 s"):
        read_audio(content, max_duration_s=0.999)


@pytest.mark.parametrize(("container", "coding"), [("OGG", "OPUS"), ("FLAC", "PCM_16"), ("MP3", "MPEG_LAYER_III")])
def test_decompression_bomb_is_stopped_during_decoding(container, coding):
    # Three minutes of silence: under 1.5 MB as a file, 35 MB as samples.
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 48000, 1, coding, format=container) as writer:
        for _ in range(3):
            writer.write(np.zeros(60 * 48000, np.int16))
    bomb = file.getvalue()
    assert len(bomb) < 1_500_000
    tracemalloc.start()
    try:
        with pytest.raises(LimitExceeded, match="limit of 10 s"):
            read_audio(bomb, max_duration_s=10.0)
        with pytest.raises(LimitExceeded, match="limit of 8000000 bytes"):
            read_audio(bomb, max_duration_s=1e6, max_bytes=8_000_000)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2 * 8_000_000 + len(bomb)


def test_size_limit_stops_reading_a_stream():
    class Endless:
        asked = 0

        def read(self, n_bytes):
            self.asked += n_bytes
            return bytes(n_bytes)

    endless = Endless()
    with pytest.raises(LimitExceeded, match="limit of 1000 bytes"):
        read_audio(endless, max_bytes=1000)
    assert endless.asked == 1001


def test_false_header_sizes_allocate_nothing():
    content = bytearray(encoded("FLAC", "PCM_16", sound(24000, 1), 24000))
    content[21:26] = b"\xff\xff\xff\xff\xff"
    tracemalloc.start()
    try:
        with pytest.raises(PhonogramError):
            read_audio(bytes(content))
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


# Bad content


@pytest.mark.parametrize(("container", "coding"), WIDTHS)
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.97])
def test_truncated_files_are_rejected(container, coding, kept):
    content = encoded(container, coding, sound(24000, 1, 1.0), 24000)
    with pytest.raises(BadAudio):
        read_audio(content[: int(len(content) * kept)])


@pytest.mark.parametrize(
    "content",
    [b"", b"R", b"RIFF", b"RIFF\x24\0\0\0WAVE", b"OggS", b"fLaC", b"ID3", b"\xff\xfb\x90\x64", b"<html>" * 50,
     b"\x89PNG\r\n\x1a\n" + bytes(100), bytes(1000), b"PK\x03\x04" + bytes(500), b"FORM\0\0\0\x10AIFFCOMM"],
)  # fmt: skip
def test_unsupported_and_empty_content_is_rejected(content, tmp_path):
    path = tmp_path / "secret-name.wav"
    path.write_bytes(content)
    for source in (content, path):
        with pytest.raises(BadAudio) as caught:
            read_audio(source)
        assert "secret" not in str(caught.value) and str(tmp_path) not in str(caught.value)


def test_missing_files_and_directories_are_rejected_without_their_path(tmp_path):
    for path in (tmp_path, tmp_path / "absent.wav"):
        with pytest.raises(BadAudio) as caught:
            read_audio(path)
        assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("coding", ["FLOAT", "DOUBLE"])
def test_nan_and_infinite_samples_are_rejected(bad, coding):
    samples = sound(24000, 1).astype(np.float64)
    samples[0, 5000] = bad
    with pytest.raises(BadAudio, match="NaN"):
        read_audio(encoded("WAV", coding, samples, 24000))


def test_files_without_samples_are_rejected():
    for container, coding in (("WAV", "PCM_16"), ("WAV", "FLOAT")):
        with pytest.raises(BadAudio, match="no samples"):
            read_audio(encoded(container, coding, np.zeros((1, 0)), 24000))


@pytest.mark.parametrize(
    ("offset", "lie"), [(24, b"\0\0\0\0"), (24, b"\1\0\0\0"), (24, b"\xff\xff\xff\x7f"), (22, b"\xe8\x03")]
)
def test_extreme_rates_and_channel_counts_are_rejected(offset, lie):
    content = bytearray(encoded("WAV", "PCM_16", sound(24000, 1), 24000))
    content[offset : offset + len(lie)] = lie
    with pytest.raises(BadAudio):
        read_audio(bytes(content))


def test_damaged_files_raise_only_bad_audio_or_limit_exceeded(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "tests.support.audio_fuzz"], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert '"wav": {"Waveform"' in run.stdout and '"mp3": {"Waveform"' in run.stdout


# Writing


@pytest.mark.parametrize(
    ("format", "rate_hz", "n_channels"), list(product(WRITTEN, (8000, 22050, 24000, 48000), (1, 2)))
)
def test_written_files_can_be_read(format, rate_hz, n_channels, tmp_path):
    whole = Waveform(sound(rate_hz, n_channels), rate_hz)
    path = tmp_path / f"sound.{format}"
    write_audio(path, whole)
    read = read_audio(path)
    assert read.n_channels == n_channels and read.duration_s == pytest.approx(whole.duration_s, abs=1e-4)
    if format in ("wav", "flac"):
        assert read.rate_hz == rate_hz and np.array_equal(to_int16(read.samples), to_int16(whole.samples))
    elif read.rate_hz == rate_hz:
        assert similarity(read.samples, whole.samples, rate_hz) > 0.95
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("format", ["mp3", "opus", "ogg"])
def test_unsupported_rates_are_resampled(format, tmp_path):
    write_audio(tmp_path / "a", Waveform(synthetic.tone(0.5, 96000), 96000), format)
    read = read_audio(tmp_path / "a")
    assert read.rate_hz == 48000 and read.n_samples == 24000


def test_full_scale_is_clipped_without_wrapping(tmp_path):
    loud = Waveform(np.array([[1.0, 1.5, -1.0, -1.5, 0.0]], np.float32), 24000)
    for format in ("wav", "flac"):
        write_audio(tmp_path / f"a.{format}", loud)
        read = to_int16(read_audio(tmp_path / f"a.{format}").samples)
        assert read.tolist() == [[32767, 32767, -32768, -32768, 0]]


def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    write_audio(path, Waveform(sound(24000, 1), 24000))
    before = path.read_bytes()

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write_audio(path, Waveform(sound(24000, 2), 24000))
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.wav"]


def test_long_audio_is_encoded_in_pieces(tmp_path):
    long = Waveform(synthetic.tone(10.0, 24000), 24000)
    for format in WRITTEN:
        write_audio(tmp_path / f"a.{format}", long)
        assert read_audio(tmp_path / f"a.{format}").n_samples == 240000


def test_unwritable_paths_and_formats_are_rejected(tmp_path):
    good = Waveform(sound(24000, 1), 24000)
    (tmp_path / "folder.wav").mkdir()
    for path in (tmp_path / "folder.wav", tmp_path / "absent" / "a.wav", tmp_path / "a.xyz", tmp_path / "a"):
        with pytest.raises(OutputError) as caught:
            write_audio(path, good)
        assert str(tmp_path) not in str(caught.value)
    with pytest.raises(OutputError, match="channels"):
        write_audio(tmp_path / "a.mp3", Waveform(sound(24000, 3), 24000))
    with pytest.raises(BadAudio, match="no samples"):
        write_audio(tmp_path / "a.wav", Waveform(np.zeros((1, 0), np.float32), 24000))
    with pytest.raises(BadAudio, match="NaN"):
        write_audio(tmp_path / "a.wav", Waveform(np.full((1, 10), np.nan, np.float32), 24000))
    with pytest.raises(OutputError):
        write_audio(tmp_path / "a.flac", Waveform(np.zeros((1, 10), np.float32), 700_000))
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder.wav"]
