import io

import numpy as np
import pytest
import soundfile

from backend.audio.mp3 import FrameHeader, counted_mp3
from backend.data import synthetic
from backend.errors import BadAudio, LimitExceeded


def mp3(rate_hz: int = 24000, n_channels: int = 1, duration_s: float = 1.0) -> bytes:
    file = io.BytesIO()
    samples = np.repeat(synthetic.speech_like(duration_s, rate_hz).T, n_channels, axis=1)
    soundfile.write(file, samples, rate_hz, format="MP3")
    return file.getvalue()


def frames(content: bytes) -> list[bytes]:
    found, position = [], 0
    while position < len(content):
        header = FrameHeader.parse(content, position)
        assert header is not None, position
        found.append(content[position : position + header.length_bytes])
        position += header.length_bytes
    return found


@pytest.mark.parametrize("rate_hz", [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000])
@pytest.mark.parametrize("n_channels", [1, 2])
def test_missing_tag_is_added_with_the_correct_count(rate_hz, n_channels):
    bare = b"".join(frames(mp3(rate_hz, n_channels))[1:])
    counted = counted_mp3(bare, 60.0)
    tag, *sound = frames(counted)
    assert b"".join(sound) == bare
    at = FrameHeader.parse(tag, 0).tag_offset
    assert tag[at : at + 4] == b"Info" and int.from_bytes(tag[at + 8 : at + 12], "big") == len(sound)
    n_samples = len(sound) * FrameHeader.parse(bare, 0).frame_samples
    assert soundfile.info(io.BytesIO(counted)).frames == pytest.approx(n_samples, abs=2000)


def test_correct_tag_is_kept_and_wrong_tag_replaced():
    content = mp3()
    assert counted_mp3(content, 60.0) == content
    at = FrameHeader.parse(content, 0).tag_offset
    low = content[: at + 8] + (3).to_bytes(4, "big") + content[at + 12 :]
    high = content[: at + 8] + (10**6).to_bytes(4, "big") + content[at + 12 :]
    assert frames(counted_mp3(low, 60.0))[1:] == frames(content)[1:]
    with pytest.raises(BadAudio, match="gives 1000000 frames"):
        counted_mp3(high, 60.0)


def test_data_between_frames_is_dropped():
    parts = frames(mp3())
    id3 = b"ID3\x04\x00\x10\x00\x00\x00\x05hello" + bytes(10)
    dirty = id3 + b"\xff\xfb" + parts[0] + b"".join(parts[1:9]) + b"junk\xff\xfb\x90\x64" * 20 + b"".join(parts[9:])
    clean = counted_mp3(dirty + b"TAG" + bytes(125), 60.0)
    assert frames(clean)[1:] == parts[1:]


def test_file_ending_inside_a_frame_is_rejected():
    with pytest.raises(BadAudio, match="truncated"):
        counted_mp3(mp3()[:-1], 60.0)


def test_duration_limit_is_checked_before_decoding():
    with pytest.raises(LimitExceeded, match="limit of 0.5 s"):
        counted_mp3(mp3(), 0.5)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfb", b"\xff" * 4_000_000, b"\xff\xfb\x90\x64" * 1_000_000, bytes(1000)]
)
def test_hostile_content_is_rejected(content):
    with pytest.raises(BadAudio):
        counted_mp3(content, 600.0)
