"""`/lossless`: files there and back over HTTP, and what is refused."""

import pytest

from tests.support.pcm_files import aiff_bytes, chunk, music, wav_bytes
from tests.support.served import asked_here

SOUND = wav_bytes(music(6000, 2), 2, after=chunk(b"LIST", b"notes"))


@pytest.fixture(scope="module")
def http():
    with asked_here(max_upload_mb=1) as client:
        yield client


@pytest.fixture(scope="module")
def packed(http):
    response = http.post("/lossless/compress", params={"level": 1}, files={"audio": SOUND})
    assert response.status_code == 200
    assert response.headers["x-source-bytes"] == str(len(SOUND))
    assert response.headers["x-compressed-bytes"] == str(len(response.content))
    return response.content


def test_file_comes_back_byte_for_byte(http, packed):
    assert packed[:4] == b"\x89PGL" and len(packed) < len(SOUND)
    response = http.post("/lossless/decompress", files={"file": packed})
    assert response.content == SOUND
    assert response.headers["content-disposition"] == 'attachment; filename="sound.wav"'
    sound = aiff_bytes(music(500, 1), 3)
    other = http.post("/lossless/compress", content=sound, headers={"Content-Type": "application/octet-stream"})
    response = http.post("/lossless/decompress", files={"file": other.content})
    assert response.content == sound and ".aiff" in response.headers["content-disposition"]


def test_inspection_says_where_the_bits_are(http, packed):
    survey = http.post("/lossless/inspect", files={"file": packed}).json()
    assert (survey["sample_rate_hz"], survey["channels"], survey["bits"]) == (44100, 2, 16)
    assert survey["n_samples"] == 6000 and survey["file_bytes"] == len(packed)
    assert 0 < survey["flac_bytes"] < len(SOUND)
    assert len(survey["piece_bits"]) == 2
    total = sum(bits * n * 2 / 8 for bits, n in zip(survey["piece_bits"], (4096, 1904), strict=True))
    assert 0.8 * len(packed) < total < len(packed)


def test_what_cannot_be_is_refused(http, packed):
    assert http.post("/lossless/compress", files={"audio": b"OggS" + bytes(99)}).json()["error"] == "BadAudio"
    assert http.post("/lossless/compress", params={"level": 0}, files={"audio": SOUND}).status_code == 400
    broken = packed[:99] + bytes([packed[99] ^ 1]) + packed[100:]
    for path in ("decompress", "inspect"):
        assert http.post(f"/lossless/{path}", files={"file": broken}).json()["error"] == "BadContainer"
    large = http.post("/lossless/compress", files={"audio": wav_bytes(music(270_000, 2)[:, :270_000] * 0, 2)})
    assert large.status_code == 413


def test_small_files_that_decode_to_large_ones_are_refused(http):
    from io import BytesIO

    from backend.compression.lossless.stream import compress

    bomb = BytesIO()
    compress(BytesIO(wav_bytes(music(300_000, 2) * 0, 2)), bomb, level=1, is_verified=False)
    assert len(bomb.getvalue()) < 1000
    for path in ("decompress", "inspect"):
        assert http.post(f"/lossless/{path}", files={"file": bomb.getvalue()}).status_code == 413
