import io
import struct

import pytest

from backend.audio.file_sniffing import audio_format, require_complete
from backend.errors import BadAudio


@pytest.mark.parametrize(
    ("head", "format"),
    [
        (b"RIFF\0\0\0\0WAVE", "wav"),
        (b"RIFX\0\0\0\0WAVE", "wav"),
        (b"RF64\xff\xff\xff\xffWAVE", "wav"),
        (b"fLaC\0\0\0\x22\x10\0\x10\0", "flac"),
        (b"OggS\0\2\0\0\0\0\0\0", "ogg"),
        (b"ID3\4\0\0\0\0\0\0\0\0", "mp3"),
        (b"\xff\xfb\x90\x64" + bytes(8), "mp3"),
        (b"\xff\xf3\x40\xc0" + bytes(8), "mp3"),
    ],
)
def test_formats_are_detected_from_the_first_bytes(head, format):
    assert audio_format(head) == format


@pytest.mark.parametrize(
    "head", [b"", b"RIFF\0\0\0\0AVI ", b"FORM\0\0\0\0AIFF", b"\xff\xff\xff\xff", b"\xff\xfd\x90\x64"]
)
def test_other_content_is_rejected(head):
    with pytest.raises(BadAudio, match="not a supported audio file"):
        audio_format(head)


def wav(data_size: int, n_bytes: int, extra: bytes = b"", magic: bytes = b"RIFF") -> bytes:
    order = ">" if magic == b"RIFX" else "<"
    chunk = b"fmt " + struct.pack(order + "IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
    return magic + bytes(4) + b"WAVE" + extra + chunk + b"data" + struct.pack(order + "I", data_size) + bytes(n_bytes)


@pytest.mark.parametrize("magic", [b"RIFF", b"RIFX"])
@pytest.mark.parametrize("size", [0, 10, 100])
def test_complete_wav_and_open_length_wav_are_accepted(magic, size):
    for content in (
        wav(size, 100, magic=magic),
        wav(0xFFFFFFFF, size, magic=magic),
        wav(0x7FFFF000, size, magic=magic),
    ):
        require_complete(io.BytesIO(content), "wav", len(content))


def test_truncated_wav_is_rejected():
    odd_chunk = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    long_length = b"ds64" + struct.pack("<IQQQI", 28, 1000, 101, 50, 0)
    for content in (wav(101, 100), wav(101, 100, odd_chunk), wav(0xFFFFFFFF, 100, long_length, b"RF64")):
        with pytest.raises(BadAudio, match="gives 101 bytes of audio; the file has 100"):
            require_complete(io.BytesIO(content), "wav", len(content))


def test_wav_without_data_chunk_is_rejected():
    content = b"RIFF\0\0\0\0WAVE" + b"junk" + struct.pack("<I", 0xFFFFFFF0) + bytes(50)
    with pytest.raises(BadAudio, match="no audio data"):
        require_complete(io.BytesIO(content), "wav", len(content))


def test_ogg_without_a_complete_last_page_is_rejected():
    page = b"OggS\0\2" + bytes(20) + b"\2" + b"\x05\x04" + b"OggS!" + b"four"
    require_complete(io.BytesIO(page * 3), "ogg", len(page) * 3)
    for content in (page[:-1], page * 2 + page[:-1], page + b"Og", page + page[:27], b"OggS"):
        with pytest.raises(BadAudio, match="truncated"):
            require_complete(io.BytesIO(content), "ogg", len(content))
