from importlib.util import find_spec

import pytest

from backend.training.codec.selftest import MAX_MEL, MIN_STOI, selftest


def test_barely_trained_codec_fails(tmp_path):
    result = selftest(
        tmp_path, ["recon.steps=3", "warmup.max_steps=2", "warmup.min_steps=1", "log_every=1", "warmup.n_frames=512"]
    )
    assert not result.is_passed
    assert result.mel > 2 * MAX_MEL
    assert result.stoi is None or result.stoi < 0.6 * MIN_STOI
    assert str(MAX_MEL) in str(result)


def test_without_stoi_the_log_mel_distance_decides(tmp_path, monkeypatch):
    monkeypatch.setattr("backend.training.codec.selftest.find_spec", lambda name: None)
    result = selftest(tmp_path, ["recon.steps=1", "warmup.max_steps=0", "log_every=1", "warmup.n_frames=512"])
    assert result.stoi is None and "not measured" in str(result)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("pystoi") is None, reason="pystoi is part of the extra 'eval'")
def test_selftest_passes(tmp_path):
    assert selftest(tmp_path, []).is_passed
