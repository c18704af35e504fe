"""Bytes through a model and back are the same bytes, or an error."""

import numpy as np
import pytest
import torch

from backend.errors import BadContainer, BadRequest
from backend.lm.byte_lm import ByteLM, ByteLMConfig
from backend.pipeline.lossless.byte_lm_coder import compress_audio, decompress_audio

TINY = {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16, "window": 8, "n_recent": 2}


def tiny(**changes):
    torch.manual_seed(1)
    return ByteLM(ByteLMConfig(**{**TINY, **changes})).eval()


@pytest.mark.parametrize("n_bytes", [0, 1, 31, 32, 33, 600])
def test_every_length_comes_back(n_bytes):
    model = tiny()
    data = np.random.default_rng(n_bytes).bytes(n_bytes)
    content = compress_audio(data, model, chunk_size_bytes=32)
    assert decompress_audio(content, model) == data


@pytest.mark.parametrize("is_byte_level", [True, False])
def test_16_bit_samples_come_back_by_bytes_and_by_samples(is_byte_level):
    model = tiny(n_phases=2) if is_byte_level else tiny(vocab_size=65536, dim=8, n_recent=1)
    samples = (32768 + 3000 * np.sin(np.arange(12) / 5)).astype("<u2")
    samples[:2] = 0, 65535
    content, n_padded = compress_audio(samples.tobytes(), model, True, True, chunk_size_bytes=24)
    assert n_padded == 0 and decompress_audio(content, model) == samples.tobytes()
    with pytest.raises(BadRequest, match="whole samples"):
        compress_audio(b"odd", model, use_16bit=True)


def test_a_model_that_knows_the_data_makes_it_small():
    model = tiny()
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias[128] = 9.0
    data = bytes([128]) * 1600
    assert len(compress_audio(data, model, chunk_size_bytes=100)) < 360  # 16 chunks of some 12 bytes, and the header


def test_damage_other_models_and_other_builds_are_refused(monkeypatch):
    model = tiny()
    data = bytes(range(100))
    content = compress_audio(data, model, chunk_size_bytes=50)
    for broken in (content[:-1], content + b"x", b"x" + content[1:], content[:40], content[:-9] + b"\x55" * 9):
        with pytest.raises(BadContainer):
            decompress_audio(broken, model)
    with pytest.raises(BadContainer, match="with model"):
        decompress_audio(content, tiny(dim=20))
    monkeypatch.setattr("backend.pipeline.lossless.byte_lm_coder._build", lambda: b"0.0".ljust(16, b"\0"))
    with pytest.raises(BadContainer, match="PyTorch"):
        decompress_audio(content, model)
