import pytest
import torch

from backend.codes import Codes
from backend.nn.conv import CausalConv1d, CausalConvTranspose1d
from backend.nn.packed import PackedConv, PackedLinear
from backend.optimize import packed_dac
from backend.optimize.packed_dac import PackedDac
from backend.weights.fish_codec import load_fish_codec
from tests.codec.test_fish_dac import CONFIG, GOLDEN, decode_in_pieces, encode_in_pieces, noise

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.inference_mode():
        yield


@pytest.fixture
def packed(monkeypatch, request):
    """Tiny tiles and runs, so that short sounds cross many of their borders."""
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
    audio = noise(70 * 32 + 5)
    codes = plain.encode(audio)
    assert torch.equal(codec.encode(audio).indices, codes.indices)
    assert torch.equal(encode_in_pieces(codec, audio, 777), codes.indices)
    sound = plain.decode(codes)
    for found in (codec.decode(codes), decode_in_pieces(codec, codes, 7), decode_in_pieces(codec, codes, [1, 30, 40])):
        assert (found - sound).abs().max() < optimization.tolerance
        snr_db = 10 * torch.log10(sound.square().sum() / (found - sound).square().sum())
        assert snr_db > (110 if optimization.is_exact else 35)


@pytest.mark.parametrize("packed", ["fp32"], indirect=True)
def test_packed_rows_reset_and_stay_apart(packed):
    _, codec = packed
    state = codec.init_state(2)
    codec.decode(codec.encode(noise(12 * 32, seed=1), state), state)
    state.reset(torch.tensor([True, False]))
    audio = noise(20 * 32)
    codes = codec.encode(audio, state)
    fresh = codec.encode(audio[:1])
    assert torch.equal(codes.indices[:1], fresh.indices)
    assert (codec.decode(codes, state)[:1] - codec.decode(fresh)).abs().max() < 1e-5


@pytest.mark.parametrize(
    "layer",
    [
        lambda: CausalConv1d(16, 32, 7, dilation=3), lambda: CausalConv1d(16, 32, 4, stride=2),
        lambda: CausalConv1d(16, 16, 1), lambda: CausalConvTranspose1d(16, 8, 4, 2),
        lambda: CausalConvTranspose1d(16, 8, 2, 2),
    ],
)  # fmt: skip
@pytest.mark.parametrize("batch", [1, 3])
def test_packed_convolution_equals_the_plain_one(layer, batch):
    torch.manual_seed(0)
    layer = layer()
    packed = PackedConv.of(layer, torch.float32)
    x = torch.randn(batch, 16, 600)
    # Short and long pieces use different weight layouts.
    for sizes in ([600], [2, 10, 64, 524], [300, 300]):
        state = packed.init_state(batch)
        y = torch.cat([packed(piece.transpose(1, 2), state) for piece in x.split(sizes, 2)], dim=1).transpose(1, 2)
        assert (y - layer(x)).abs().max() < 1e-5


def test_packed_linear_equals_the_plain_one():
    linear = torch.nn.Linear(16, 8)
    x = torch.randn(2, 5, 16)
    assert (PackedLinear(linear)(x) - linear(x)).abs().max() < 1e-5


def test_other_models_and_devices_are_refused_with_a_reason():
    codec = load_fish_codec(GOLDEN, **CONFIG)
    assert not PackedDac().supported(torch.device("cuda"), codec).ok
    assert "Linear" in PackedDac().supported(CPU, torch.nn.Linear(1, 1)).reason


def test_packed_codec_keeps_its_codes_contract():
    codec = PackedDac().apply(load_fish_codec(GOLDEN, **CONFIG))
    indices = torch.full((1, 4, 3), 99)
    assert torch.isfinite(codec.decode(Codes(indices, "fish_dac"))).all()
    assert indices.eq(99).all()
