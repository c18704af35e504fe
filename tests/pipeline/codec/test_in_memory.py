"""Code files in memory: identical to streamed files, and validated before decoding."""

import io

import numpy as np
import pytest

from backend.audio.waveform import Waveform
from backend.data.synthetic import speech_like
from backend.errors import BadCodes, BadContainer, LimitExceeded
from backend.opt_engine import OptimizedEngine
from backend.pipeline.codec.stream import decode_pieces, encode_waveform
from tests.support.small_engine import open_small, settings_in
from tests.support.tiny_codecs import TinyCodec

CODES_HASH = "ab" * 32
SOUND = Waveform.of(speech_like(duration_s=1.3, rate_hz=11_025), 11_025)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    def open_hashed(settings, device):
        return open_small(settings, device, codes_hash=CODES_HASH)

    engine = OptimizedEngine(settings_in(tmp_path_factory.mktemp("data"), max_audio_s=3.0), open_hashed)
    engine.load()
    yield engine
    engine.close()


def codec_of(engine):
    return engine._loaded.model.codec


@pytest.mark.parametrize("n_codebooks", [None, 1, 3, 4])
def test_code_file_equals_the_streaming_encoder_output(engine, n_codebooks):
    file = io.BytesIO()
    encode_waveform(SOUND, codec_of(engine), CODES_HASH, file, n_codebooks)
    made = engine.encode_file(SOUND, n_codebooks)
    assert made.content == file.getvalue()
    assert made.is_own and made.survey.header.n_codebooks == (n_codebooks or 4)
    assert made.indices.shape == (n_codebooks or 4, made.survey.n_frames)


def test_decoded_file_has_exactly_the_original_length(engine):
    made = engine.encode_file(SOUND)
    decoded = engine.decode_file(made.content)
    assert decoded.rate_hz == 8000 and decoded.n_samples == made.survey.n_samples == round(1.3 * 8000)
    pieces = decode_pieces(io.BytesIO(made.content), made.survey.header, codec_of(engine), CODES_HASH)
    np.testing.assert_allclose(decoded.samples, np.concatenate(list(pieces), axis=1), atol=1e-5)


def test_unsupported_codebook_count_is_rejected(engine):
    for n_codebooks in (0, 5):
        with pytest.raises(BadCodes, match="codebooks"):
            engine.encode_file(SOUND, n_codebooks)


def test_file_of_another_codec_is_read_but_not_decoded(engine):
    file = io.BytesIO()
    encode_waveform(SOUND, TinyCodec(hop=80, n_codebooks=2).eval(), "cd" * 32, file)
    shown = engine.read_code_file(file.getvalue())
    assert not shown.is_own and shown.survey.duration_s == pytest.approx(1.3, abs=1e-3)
    with pytest.raises(BadContainer, match="was written by"):
        engine.decode_file(file.getvalue())


def test_damage_is_found_before_anything_is_decoded(engine, monkeypatch):
    content = bytearray(engine.encode_file(SOUND).content)
    monkeypatch.setattr(engine._loaded.synthesizer, "decode", lambda codes: pytest.fail("damaged codes were decoded"))
    for place in (0, len(content) // 2, len(content) - 1):
        damaged = content.copy()
        damaged[place] ^= 1
        with pytest.raises(BadContainer):
            engine.decode_file(bytes(damaged))
    with pytest.raises(BadContainer):
        engine.decode_file(bytes(content[:-3]))


def test_max_audio_s_limits_encoding_and_decoding(engine):
    long = Waveform.of(np.zeros(8000 * 5, np.float32), 8000)
    with pytest.raises(LimitExceeded, match="MAX_AUDIO_S"):
        engine.encode_file(long)
    file = io.BytesIO()
    encode_waveform(long, codec_of(engine), CODES_HASH, file)
    for read in (engine.decode_file, engine.read_code_file):
        with pytest.raises(LimitExceeded, match="MAX_AUDIO_S"):
            read(file.getvalue())


def test_code_indices_are_checked_before_decoding(engine, monkeypatch):
    codes = np.zeros((4, 5), np.int64)
    (decoded,) = engine.decode_indices([codes])
    assert decoded.n_samples == 5 * 160 - 20
    monkeypatch.setattr(engine._loaded.synthesizer, "decode", lambda codes: pytest.fail("bad codes were decoded"))
    for bad in (codes - 1, codes + 24, codes[:, :0], np.zeros((5, 5), np.int64), codes[:0]):
        with pytest.raises(BadCodes):
            engine.decode_indices([codes, bad])
    with pytest.raises(LimitExceeded, match="MAX_AUDIO_S"):
        engine.decode_indices([np.zeros((4, 80), np.int64), np.zeros((4, 80), np.int64)])
