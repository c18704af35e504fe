import pytest
import torch

from backend.codec.soundstream import SoundStream
from backend.codec.spectral import SpectralCodec
from backend.optimize.codec.bf16_decoder import Bf16Decoder

CPU = torch.device("cpu")


@pytest.fixture
def codec():
    torch.manual_seed(0)
    return SpectralCodec(decoder_depths=(1, 2)).eval()


def test_codes_are_equal_and_audio_within_tolerance(codec):
    half = Bf16Decoder()
    support = half.supported(CPU, codec)
    if not support.ok:
        pytest.skip(support.reason)
    audio = 0.1 * torch.randn(1, 1, 24_000, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        codes = codec.encode(audio)
        full = codec.decode(codes)
        half.apply(codec)
        assert torch.equal(codec.encode(audio).indices, codes.indices)
        rounded = codec.decode(codes)
        assert 0 < (rounded - full).abs().max() <= half.tolerance * full.abs().max()
        state = codec.init_state(1)
        steps = [codec.decode(type(codes)(piece, codes.codec), state) for piece in codes.indices.split(1, dim=2)]
        assert (torch.cat(steps, dim=2) - full).abs().max() <= half.tolerance * full.abs().max()


def test_other_codecs_are_rejected_with_a_reason():
    support = Bf16Decoder().supported(CPU, SoundStream(C=2, D=8))
    assert not support.ok and "SoundStream" in support.reason
