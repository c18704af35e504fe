import json
from pathlib import Path

import numpy as np
import pytest

from backend.audio.files import write_audio
from backend.audio.waveform import Waveform
from backend.data.audio_cache import AudioCache
from backend.data.manifest import Clip, read_clips
from backend.data.synthetic import speech_like
from backend.errors import BadContainer, BadSettings

RATE_HZ = 8000


def recordings(folder: Path, n: int = 4) -> list[Clip]:
    folder.mkdir()
    for i in range(n):
        write_audio(folder / f"{i}.wav", Waveform.of(speech_like(0.2 + 0.1 * i, RATE_HZ, seed=i), RATE_HZ))
    return read_clips(folder)


def test_cached_samples_equal_the_files(tmp_path):
    clips = recordings(tmp_path / "speech")
    cache = AudioCache(tmp_path / "cache", RATE_HZ)
    cache.build(clips)
    cached = cache.clips(clips)
    assert [clip.id for clip in cached] == ["0.wav", "1.wav", "2.wav", "3.wav"]
    for i, clip in enumerate(cached):
        expected = speech_like(0.2 + 0.1 * i, RATE_HZ, seed=i)[0] * 32767
        assert np.abs(clip.samples[:, 0] - expected).max() <= 1.5


def test_corrupt_file_is_reported_and_skipped(tmp_path):
    clips = recordings(tmp_path / "speech")
    clips[1].path.write_bytes(b"not a sound")
    cache = AudioCache(tmp_path / "cache", RATE_HZ)
    cache.build(clips)
    assert list(cache.report) == ["1.wav"]
    assert [clip.id for clip in cache.clips(clips)] == ["0.wav", "2.wav", "3.wav"]


@pytest.mark.parametrize("n_lost", [1, 1000, 3000])
def test_truncated_cache_is_completed(tmp_path, n_lost):
    clips = recordings(tmp_path / "speech")
    whole = AudioCache(tmp_path / "whole", RATE_HZ)
    whole.build(clips)
    torn = AudioCache(tmp_path / "torn", RATE_HZ)
    torn.build(clips)
    samples = tmp_path / "torn" / "samples.pcm"
    samples.write_bytes(samples.read_bytes()[:-n_lost])
    again = AudioCache(tmp_path / "torn", RATE_HZ)
    again.build(clips)
    assert samples.read_bytes() == (tmp_path / "whole" / "samples.pcm").read_bytes()
    for a, b in zip(whole.clips(clips), again.clips(clips), strict=True):
        assert np.array_equal(a.samples, b.samples)


def test_truncated_index_line_is_decoded_again(tmp_path):
    clips = recordings(tmp_path / "speech")
    AudioCache(tmp_path / "cache", RATE_HZ).build(clips)
    index = tmp_path / "cache" / "index.jsonl"
    index.write_text(index.read_text()[:-20])
    cache = AudioCache(tmp_path / "cache", RATE_HZ)
    assert len(cache.clips(clips)) == 3
    cache.build(clips)
    assert len(cache.clips(clips)) == 4


def test_complete_cache_decodes_nothing(tmp_path, monkeypatch):
    clips = recordings(tmp_path / "speech")
    AudioCache(tmp_path / "cache", RATE_HZ).build(clips)
    monkeypatch.setattr("backend.data.audio_cache.read_audio", lambda *_, **__: pytest.fail("decoded again"))
    AudioCache(tmp_path / "cache", RATE_HZ).build(clips)


def test_changed_file_is_decoded_again(tmp_path):
    clips = recordings(tmp_path / "speech")
    cache = AudioCache(tmp_path / "cache", RATE_HZ)
    cache.build(clips)
    write_audio(clips[0].path, Waveform.of(speech_like(0.5, RATE_HZ), RATE_HZ))
    again = AudioCache(tmp_path / "cache", RATE_HZ)
    again.build(clips)
    assert len(again.clips(clips)[0].samples) == 4000


def test_cache_rejects_another_rate(tmp_path):
    AudioCache(tmp_path, 8000)
    with pytest.raises(BadContainer, match="Delete the cache"):
        AudioCache(tmp_path, 16000)


def test_files_are_converted_to_the_requested_rate_and_channels(tmp_path):
    folder = tmp_path / "speech"
    folder.mkdir()
    stereo = np.concatenate([speech_like(0.5, 16000), speech_like(0.5, 16000, seed=1)])
    write_audio(folder / "a.wav", Waveform.of(stereo, 16000))
    clips = read_clips(folder)
    for n_channels in (1, 2):
        cache = AudioCache(tmp_path / str(n_channels), RATE_HZ, n_channels)
        cache.build(clips)
        assert cache.clips(clips)[0].samples.shape == (4000, n_channels)


def test_manifest_names_files_and_speakers(tmp_path):
    (tmp_path / "speech").mkdir()
    write_audio(tmp_path / "speech" / "a.wav", Waveform.of(speech_like(0.1, RATE_HZ), RATE_HZ))
    (tmp_path / "manifest.jsonl").write_text(json.dumps({"id": "x", "file": "a.wav", "speaker": "ann"}) + "\n\n")
    assert read_clips(tmp_path) == [Clip("x", tmp_path / "speech" / "a.wav", "ann")]


@pytest.mark.parametrize("line", ["{", "3", '{"speaker": "ann"}'])
def test_bad_manifest_line_is_named(tmp_path, line):
    (tmp_path / "manifest.jsonl").write_text('{"file": "a.wav"}\n' + line)
    with pytest.raises(BadSettings, match="Line 2"):
        read_clips(tmp_path)


def test_folder_names_are_speakers_without_a_manifest(tmp_path):
    (tmp_path / "ann").mkdir()
    write_audio(tmp_path / "ann" / "a.wav", Waveform.of(speech_like(0.1, RATE_HZ), RATE_HZ))
    assert read_clips(tmp_path) == [Clip("ann/a.wav", tmp_path / "ann" / "a.wav", "ann")]


def test_empty_folder_is_an_error(tmp_path):
    with pytest.raises(BadSettings, match="no audio"):
        read_clips(tmp_path)
