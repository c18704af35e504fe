import pytest
import torch

from backend.codec.tonal import TonalCodec, compress, expand
from backend.nn.mdct import MdctAnalysis, MdctSynthesis
from tests.support import codec_contract as laws


def small() -> TonalCodec:
    torch.manual_seed(0)
    return TonalCodec(
        sample_rate=1600, tones=(32, 8, 16, 4, 2), bands=(10, 8, 3, 5), band_dim=2, band_stages=(1, 1, 1),
        energy_stages=2, shape_width=4, shape_stages=((1, 1), (1, 0), (1, 1)), codebook_size=32,
    ).eval()  # fmt: skip


def test_published_shape_is_eight_kbps_at_twelve_and_a_half_frames_a_second():
    codec = TonalCodec()
    assert codec.spec.frame_rate_hz == 12.5
    assert codec.level_ends == (16, 34, 64)
    assert codec.spec.bitrate_kbps() == 8.0
    assert codec.algorithmic_latency_samples == 5120
    assert sorted(codec.order.tolist()) == list(range(64))


def test_transform_gives_the_sound_back_one_hop_late():
    audio = torch.randn(2, 32 * 6, generator=torch.Generator().manual_seed(0))
    again = MdctSynthesis(32, 32)(MdctAnalysis(32, 32)(audio))
    assert (again[:, 32:] - audio[:, :-32]).abs().max() < 1e-5


def test_compression_is_undone():
    x = torch.linspace(-9, 9, 101)
    assert (expand(compress(x)) - x).abs().max() < 1e-5


@pytest.mark.parametrize("n_codebooks", range(1, 15))
def test_any_number_of_codebooks_streams(n_codebooks):
    codec = small()
    with torch.no_grad():
        codes = codec.encode(laws.noise(codec, 6 * codec.spec.hop_samples)).first(n_codebooks)
        whole = codec.decode(codes)
        pieces = laws.decode_in_pieces(codec, codes, [1, 3, 2])
    assert (pieces - whole).abs().max() <= laws.WAVEFORM_TOLERANCE


def test_fitted_codes_keep_a_tone():
    """Its partial comes back at its place and with its sign; random codebooks do not do that."""
    codec = small()
    time = torch.arange(400 * codec.spec.hop_samples) / 1600
    tones = torch.stack([0.3 * torch.sin(2 * torch.pi * f * time) for f in (60.0, 95.0, 140.0)])[:, None]
    codec.init_from(tones)
    with torch.no_grad():
        decoded = codec.decode(codec.encode(tones))
    delay = codec.spec.latency_samples
    error = (decoded[..., 2 * delay :] - tones[..., delay:-delay]).square().mean()
    assert error < 0.3 * tones.square().mean()
