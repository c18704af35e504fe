"""Chunks of raw audio: exact samples, blocks in order, and the warnings the plan asks for."""

import warnings

import numpy as np
import pytest

from backend.data.datasets import pcm_chunks as pcm
from tests.support.pcm_files import wav_bytes


def write(path, samples, width=2, **options):
    path.write_bytes(wav_bytes(np.asarray(samples), width, 8000, **options))
    return str(path)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_every_sample_of_every_depth_is_kept_to_16_bits(tmp_path, width):
    top = 2 ** (8 * width - 1)
    samples = np.linspace(-top, top - 1, 3001).astype(np.int64).astype(np.int32)[None]
    audio, rate_hz, channels = pcm.load_wav_file(write(tmp_path / "a.wav", samples, width))
    assert (rate_hz, channels, audio.dtype) == (8000, 1, np.int32)
    assert np.array_equal(audio >> (32 - 8 * width), samples)
    wide = np.frombuffer(pcm.convert_to_target_bit_depth(audio[0], True), "<u2").astype(np.int64)
    narrow = np.frombuffer(pcm.convert_to_target_bit_depth(audio[0], False), np.uint8).astype(np.int64)
    assert np.array_equal(narrow, (wide >> 8))
    if width == 1:
        assert np.array_equal(narrow, samples[0] + 128)
    if width == 2:
        assert np.array_equal(wide, samples[0] + 32768)


def test_floats_are_scaled_and_loud_ones_clipped_with_a_warning(tmp_path):
    loud = write(tmp_path / "f.wav", [[-1.0, 0.0, 0.5, 1.5]], 4, is_float=True)
    with pytest.warns(UserWarning, match="clipped"):
        audio, *_ = pcm.load_wav_file(loud)
    assert audio[0].tolist() == [-(2**31), 0, 2**30, 2**31 - 1]


def test_stereo_blocks_take_turns_and_come_apart_again():
    audio = np.stack([np.arange(7), 10 + np.arange(7)])
    blocked = pcm.process_stereo_blocking(audio, 3)
    assert blocked.tolist() == [0, 1, 2, 10, 11, 12, 3, 4, 5, 13, 14, 15, 6, 16]
    assert np.array_equal(pcm.undo_stereo_blocking(blocked, 3, 2), audio)
    assert np.array_equal(pcm.process_stereo_blocking(audio[:1], 3), audio[0])
    assert pcm.process_stereo_blocking(audio[:, :0], 3).size == 0
    with pytest.raises(ValueError, match="3"):
        pcm.process_stereo_blocking(np.zeros((3, 4)), 2)


def test_chunks_are_whole_unless_the_rest_is_asked_for():
    assert list(pcm.extract_audio_chunks(bytes(10), 4)) == [bytes(4), bytes(4)]
    assert b"".join(pcm.extract_audio_chunks(bytes(range(10)), 4, keep_partial=True)) == bytes(range(10))


def test_configurations_are_checked():
    with pytest.warns(UserWarning, match="at least 1024"):
        pcm.validate_audio_config(False, 1000, 2048)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pcm.validate_audio_config(False, 1024, 2048)
        pcm.validate_audio_config(True, 512, 2048)  # 1024 samples
        pcm.validate_audio_config(**{"use_16bit": False, "blocking_size": 1024, "chunk_size": 2048})
    for wrong in ((False, 0, 2048), (False, 1024, 0), (True, 1024, 2047)):
        with pytest.raises(ValueError, match="got"):
            pcm.validate_audio_config(*wrong)


def test_iterator_goes_through_files_in_a_seeded_order_and_skips_bad_ones(tmp_path):
    files = [write(tmp_path / f"{k}.wav", [np.full(600, k << 8)]) for k in range(4)]
    files.append(write(tmp_path / "three.wav", np.zeros((3, 600))))
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    files.append(str(tmp_path / "bad.wav"))
    options = {"chunk_size_bytes": 256, "blocking_size": 128}
    generator = pcm.GET_DATA_GENERATOR_FN_DICT["custom_audio"]
    with pytest.warns(UserWarning, match="Only generated 8"):
        chunks = list(generator(files, 100, **options))
    assert [chunk[0] for chunk in chunks] == [128, 128, 129, 129, 130, 130, 131, 131]
    assert all(len(chunk) == 256 for chunk in chunks)
    drawn = [list(generator(files[:4], 5, seed=seed, **options)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] and [len(one) for one in drawn] == [5, 5, 5]
    with pytest.raises(FileNotFoundError):
        next(generator([str(tmp_path / "none.wav")]))


def test_errors_of_the_consumer_are_not_swallowed(tmp_path):
    iterator = pcm.get_custom_audio_iterator([write(tmp_path / "a.wav", [np.zeros(9000)])])
    next(iterator)
    with pytest.raises(ValueError, match="mine"):
        iterator.throw(ValueError("mine"))


def test_tokens_are_bytes_high_first_or_samples():
    chunk = np.array([0x0102, 0xFFFE], "<u2").tobytes()
    assert pcm.tokens_of(chunk, True).tolist() == [1, 2, 255, 254]
    assert pcm.tokens_of(chunk, True, is_byte_level=False).tolist() == [0x0102, 0xFFFE]
    assert pcm.tokens_of(b"\x00\x80\xff", False).tolist() == [0, 128, 255]
