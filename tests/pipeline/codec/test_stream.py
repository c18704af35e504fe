import io

import numpy as np
import pytest
import torch

from backend.audio.waveform import Waveform
from backend.codes import Codes
from backend.compression.codes.container import ContainerReader, ContainerWriter
from backend.compression.codes.header import ContainerHeader
from backend.compression.codes.inspect import survey_container
from backend.errors import BadAudio, BadCodes, BadContainer
from backend.pipeline.codec import stream
from backend.pipeline.codec.stream import decode_pieces, encode_waveform
from tests.support.tiny_codecs import TinyCodec

HASH = "3f9a" * 16


def tone(n_samples, rate_hz=8000, n_channels=1):
    rng = np.random.default_rng(n_samples)
    return Waveform(rng.uniform(-0.5, 0.5, (n_channels, n_samples)).astype(np.float32), rate_hz)


def tiny(**options):
    torch.manual_seed(1)
    return TinyCodec(**options).eval()


def encode(waveform, codec, **options):
    file = io.BytesIO()
    encode_waveform(waveform, codec, HASH, file, **options)
    return file.getvalue()


def decode(content, codec, weights_hash=HASH, **options):
    header = survey_container(io.BytesIO(content)).header
    return np.concatenate(list(decode_pieces(io.BytesIO(content), header, codec, weights_hash, **options)), axis=1)


@pytest.mark.parametrize("n_samples", [1, 15, 16, 17, 500, 8000])
@pytest.mark.parametrize("lag", [0, 5, 16, 40])
def test_round_trip_keeps_the_length_and_drops_the_latency(n_samples, lag):
    codec = tiny(lag=lag)
    waveform = tone(n_samples)
    content = encode(waveform, codec)
    padded = np.pad(waveform.samples, ((0, 0), (0, lag)))
    with torch.no_grad():
        whole = codec.decode(codec.encode(torch.from_numpy(padded)[None]))[0].numpy()
    found = decode(content, codec)
    assert found.shape == (1, n_samples)
    assert np.abs(found - whole[:, lag : lag + n_samples]).max() < 1e-5


def test_chunked_coding_equals_whole_coding(monkeypatch):
    codec = tiny(lag=20)
    waveform = tone(8000 * 9)
    seen = []
    monkeypatch.setattr(
        codec, "encode_frames", lambda a, *r: (seen.append(a.shape[2]), type(codec).encode_frames(codec, a, *r))[1]
    )
    monkeypatch.setattr(
        codec, "decode_frames", lambda i, s: (seen.append(i.shape[2] * 16), type(codec).decode_frames(codec, i, s))[1]
    )
    content = encode(waveform, codec)
    decoded = decode(content, codec)
    assert max(seen) <= stream.PIECE_S * 8000 and len(seen) >= 6
    monkeypatch.setattr(stream, "PIECE_S", 100.0)
    assert encode(waveform, codec) == content
    assert np.abs(decode(content, codec) - decoded).max() < 1e-5


def test_fewer_codebooks_make_a_smaller_file_that_decodes():
    codec = tiny()
    whole, first = encode(tone(4000), codec), encode(tone(4000), codec, n_codebooks=1)
    assert len(first) < len(whole) * 0.6
    codes = np.concatenate(list(ContainerReader(io.BytesIO(first))), axis=1)
    with torch.no_grad():
        expected = codec.decode(Codes(torch.from_numpy(codes)[None], "tiny"))[0, :, :4000].numpy()
    assert np.abs(decode(first, codec) - expected).max() < 1e-5
    with pytest.raises(BadCodes, match="1 to 3"):
        encode(tone(100), codec, n_codebooks=4)


def test_audio_is_mixed_and_resampled_to_the_codec():
    codec = tiny()
    stereo = tone(44100, 44100, 2)
    assert survey_container(io.BytesIO(encode(stereo, codec))).n_samples == 8000
    assert encode(stereo, codec) == encode(stereo.mono(), codec)


def test_progress_rises_to_the_whole_length():
    codec, encoding, decoding = tiny(lag=20), [], []
    content = encode(tone(8000 * 9), codec, progress=lambda *call: encoding.append(call))
    decode(content, codec, progress=lambda *call: decoding.append(call))
    for calls in (encoding, decoding):
        assert len(calls) >= 3 and calls == sorted(set(calls)) and calls[-1] == (72000, 72000)


def test_empty_audio_is_rejected():
    with pytest.raises(BadAudio, match="no samples"):
        encode(Waveform(np.zeros((1, 0), np.float32), 8000), tiny())


def test_files_of_other_weights_are_rejected():
    codec = tiny()
    with pytest.raises(BadContainer, match="3f9a3f9a; those loaded are 'tiny' with 77c177c1"):
        decode(encode(tone(100), codec), codec, "77c1" * 16)


@pytest.mark.parametrize(
    "lie",
    [
        {"sample_rate_hz": 16000}, {"codec": "other"}, {"codebook_sizes": (10, 10, 11)}, {"channels": 2},
        {"codebook_sizes": (10,) * 4}, {"hop_samples": 32}, {"n_samples": 9}, {"n_samples": 0},
    ],
)  # fmt: skip
def test_headers_that_contradict_their_codec_are_rejected(lie):
    codec = tiny()
    truth = {
        "codec": "tiny", "weights_hash": HASH, "sample_rate_hz": 8000, "hop_samples": 16, "channels": 1,
        "codebook_sizes": (10, 10, 10), "n_samples": 64, "n_frames": 4,
    }  # fmt: skip
    header = ContainerHeader(**{**truth, **lie})
    file = io.BytesIO()
    writer = ContainerWriter(file, header)
    writer.push(np.zeros((header.n_codebooks, 4), dtype=int))
    writer.finish(header.n_samples)
    with pytest.raises(BadContainer, match="does not match the codec"):
        decode(file.getvalue(), codec)
