import pytest
import torch

from backend.codes import Codes
from backend.optimize.codec import packed_dac
from backend.optimize.codec.packed_dac import PackedDac
from backend.weights.fish_codec import load_fish_codec
from tests.support.codec_contract import decode_in_pieces, encode_in_pieces, noise
from tests.support.fish_codec_case import CONFIG, GOLDEN, LAWS

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.inference_mode():
        yield


@pytest.fixture
def packed(monkeypatch, request):
    """Uses tiny tiles and runs, so that short audio crosses many tile borders."""
    monkeypatch.setattr(packed_dac, "TILE_ELEMENTS", 600)
    monkeypatch.setattr(packed_dac, "RUN_ELEMENTS", 2000)
    optimization = PackedDac(request.param)
    codec = load_fish_codec(GOLDEN, **CONFIG)
    support = optimization.supported(CPU, codec)
    if not support.ok:
        pytest.skip(support.reason)
    return optimization, optimization.apply(codec)


@pytest.mark.parametrize("packed", ["fp32", "bf16"], indirect=True)
def test_packed_codec_stays_within_its_tolerance(packed):
    optimization, codec = packed
    plain = load_fish_codec(GOLDEN, **CONFIG)
    audio = noise(codec, 70 * 32 + 5)
    codes = plain.encode(audio)
    assert torch.equal(codec.encode(audio).indices, codes.indices)
    sizes = [777, 1000, audio.shape[2] - 1777]
    assert torch.equal(encode_in_pieces(codec, audio, sizes).indices, codes.indices)
    expected = plain.decode(codes)
    for decoded in (
        codec.decode(codes),
        decode_in_pieces(codec, codes, [7] * 10 + [1]),
        decode_in_pieces(codec, codes, [1, 30, 40]),
    ):
        assert (decoded - expected).abs().max() < optimization.tolerance
        snr_db = 10 * torch.log10(expected.square().sum() / (decoded - expected).square().sum())
        assert snr_db > (110 if optimization.is_exact else 35)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("packed", ["fp32"], indirect=True)
def test_codec_contract(packed, law):
    law(packed[1])


def test_other_models_and_devices_are_rejected_with_a_reason():
    codec = load_fish_codec(GOLDEN, **CONFIG)
    assert not PackedDac().supported(torch.device("cuda"), codec).ok
    assert "Linear" in PackedDac().supported(CPU, torch.nn.Linear(1, 1)).reason


def test_packed_codec_accepts_out_of_range_codes_without_changing_them():
    codec = PackedDac().apply(load_fish_codec(GOLDEN, **CONFIG))
    indices = torch.full((1, 4, 3), 99)
    assert torch.isfinite(codec.decode(Codes(indices, "fish_dac"))).all()
    assert indices.eq(99).all()
