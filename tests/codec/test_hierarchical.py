import pytest
import torch

from backend.codec.hierarchical import HierarchicalCodec
from backend.codes import Codes
from tests.support import codec_contract as laws

RATE_HZ = 1600


def tiny(seed: int = 0) -> HierarchicalCodec:
    torch.manual_seed(seed)
    return HierarchicalCodec(
        sample_rate=RATE_HZ, bands=(10, 8, 3, 5), latent_dims=(6, 5, 4), n_stages=(2, 2, 2), codebook_size=16,
        encoder=(8, 1), decoder=(8, 1),
    ).eval()  # fmt: skip


def test_published_shape_is_eight_kbps_at_twelve_and_a_half_frames_a_second():
    with torch.device("meta"):
        codec = HierarchicalCodec()
    assert codec.spec.frame_rate_hz == 12.5
    assert codec.level_ends == (8, 24, 64)
    assert [codec.spec.bitrate_kbps(end) for end in codec.level_ends] == [1.0, 3.0, 8.0]
    assert codec.spec.latency_samples == 320


@pytest.mark.parametrize("n_codebooks", range(1, 15))
def test_any_number_of_codebooks_streams(n_codebooks):
    """Also those that end inside a level or between the groups of a stage."""
    codec = tiny()
    with torch.no_grad():
        codes = codec.encode(laws.noise(codec, 6 * codec.spec.hop_samples)).first(n_codebooks)
        whole = codec.decode(codes)
        pieces = laws.decode_in_pieces(codec, codes, [1, 3, 2])
    assert (pieces - whole).abs().max() <= laws.WAVEFORM_TOLERANCE


def test_placed_levels_each_come_nearer_to_the_sound():
    codec = tiny()
    audio = laws.noise(codec, 200 * codec.spec.hop_samples, batch=4) * torch.linspace(0.1, 1, 4)[:, None, None]
    codec.init_from(audio)
    with torch.no_grad():
        energies, context = codec.encoder(audio)
        codes = codec.quantizer.encode(energies, context, codec.spec.n_codebooks)
        errors = [
            (codec.quantizer.decode(codes[:, :end]) - energies).square().mean().item() for end in codec.level_ends
        ]
    assert errors[0] > 1.05 * errors[1] > 1.05**2 * errors[2]


def test_training_keeps_what_the_truncated_codes_say():
    """Quantizer dropout at the end of a level gives the sound of those codes."""
    codec = tiny()
    audio = laws.noise(codec, 6 * codec.spec.hop_samples, batch=1)
    with torch.no_grad():
        codec.init_from(laws.noise(codec, 100 * codec.spec.hop_samples))
        codes = codec.encode(audio)
        for end in codec.level_ends:
            trained = codec.reconstruct(audio, torch.tensor([end])).audio.clamp(-1, 1)
            assert (trained - codec.decode(Codes(codes.indices[:, :end], codes.codec))).abs().max() < 1e-4


def test_encoder_gets_a_gradient_through_every_level():
    codec = tiny().train()
    codec.init_from(laws.noise(codec, 100 * codec.spec.hop_samples))
    codec.reconstruct(laws.noise(codec, 4 * codec.spec.hop_samples)).audio.square().sum().backward()
    for level in codec.quantizer.levels:
        assert level.inward.weight.grad.abs().max() > 0
