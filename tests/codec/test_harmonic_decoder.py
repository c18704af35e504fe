import numpy as np
import pytest
import torch

from backend.codec.f0_network import N_BINS, F0Frames
from backend.codec.spectral import SpectralCodec
from backend.codes import Codes
from backend.errors import BadCodes, NotAvailable
from backend.metrics.pitch import pitch_track
from backend.optimize.codec.bf16_decoder import Bf16Decoder
from backend.weights import load_codec, save_codec
from tests.codec.test_laws import small_harmonic

RATE_HZ = 16_000
CONFIG = {
    "sample_rate": RATE_HZ, "n_fft": 640, "hop_samples": 160, "stride": 2, "encoder_dims": (8, 8),
    "encoder_depths": (1, 1), "decoder_dims": (8, 8), "decoder_depths": (1, 1), "latent_dim": 4, "n_codebooks": 2,
    "codebook_size": 16,
}  # fmt: skip
N_FRAMES = 50


def speaking(f0_hz: float, **changes) -> SpectralCodec:
    """A codec whose decoder says one F0, voiced, with a flat spectrum that is all periodic."""
    torch.manual_seed(0)
    codec = SpectralCodec(**CONFIG, source="harmonic", **changes).eval()
    decoder = codec.decoder

    def frames(windows, state=None):
        steady = torch.full((windows.shape[0], 2 * windows.shape[1]), f0_hz, dtype=torch.float64).log2()
        logits = torch.zeros(*steady.shape, N_BINS)
        return F0Frames(steady, torch.full_like(steady, 10.0), torch.zeros_like(steady), logits)

    decoder.f0_network.forward = frames
    with torch.no_grad():
        for layer in (decoder.project_out, decoder.offset_mix):
            layer.weight.zero_()
            layer.bias.zero_()
        # Half as much a bin as full scale, falling as voices do, and all of it from the source.
        decoder.project_out.bias[: decoder.n_bins] = -torch.linspace(0.0, 5.0, decoder.n_bins)
        decoder.offset_mix.bias[decoder.n_bins :] = 20.0
    return codec


def codes_of(codec: SpectralCodec, n_frames: int = N_FRAMES) -> Codes:
    torch.manual_seed(1)
    return Codes(torch.randint(0, 16, (1, codec.spec.n_codebooks, n_frames)), "spectral")


def heard_hz(samples: torch.Tensor) -> float:
    track = pitch_track(samples[0, 0, 2000:].double().numpy())
    assert (track > 0).mean() > 0.9
    return float(np.median(track[track > 0]))


@pytest.mark.parametrize("f0_hz", [96.5, 203.0, 331.0])
def test_the_sound_has_the_pitch_that_was_predicted(f0_hz):
    codec = speaking(f0_hz)
    with torch.no_grad():
        assert heard_hz(codec.decode(codes_of(codec))) == pytest.approx(f0_hz, rel=2e-3)
        track = codec.f0(codes_of(codec))
    assert track.f0_hz.shape == track.voicing.shape == (1, 2 * N_FRAMES)
    assert track.f0_hz[0, 0].item() == pytest.approx(f0_hz, rel=1e-5) and track.voicing.min() > 0.99


@pytest.mark.parametrize("semitones", [-7.0, 2.5, 12.0])
def test_pitch_moves_by_what_was_asked_in_any_pieces(semitones):
    codec = speaking(160.0)
    codes = codes_of(codec)
    with torch.no_grad():
        whole_state, state = codec.init_state(1), codec.init_state(1)
        codec.set_pitch(whole_state, semitones)
        codec.set_pitch(state, semitones)
        whole = codec.decode(codes, whole_state)
        pieces = [codec.decode(Codes(piece, "spectral"), state) for piece in codes.indices.split([1, 2, 20, 27], dim=2)]
    assert heard_hz(whole) == pytest.approx(160.0 * 2 ** (semitones / 12), rel=3e-3)
    assert (torch.cat(pieces, dim=2) - whole).abs().max() < 1e-5


def test_pitch_zero_is_the_plain_sound_and_a_reset_forgets_it():
    codec = small_harmonic(None).eval()
    codes = Codes(torch.randint(0, 32, (2, 3, 9)), "spectral")
    with torch.no_grad():
        plain, state = codec.decode(codes), codec.init_state(2)
        codec.set_pitch(state, 3.0)
        assert not torch.equal(codec.decode(codes, state), plain)
        state.reset()
        # Away from clipping the way over the envelope is the identity only at no shift.
        codec.set_pitch(state, 0.0)
        assert (codec.decode(codes, state) - plain).abs().max() < 1e-6


def test_a_codec_without_source_refuses_pitch_and_f0():
    codec = SpectralCodec(**CONFIG).eval()
    assert not codec.has_pitch_control and small_harmonic(None).has_pitch_control
    with pytest.raises(NotAvailable, match="Leave pitch out"):
        codec.set_pitch(codec.init_state(1), 1.0)
    with pytest.raises(NotAvailable, match="no harmonic source"):
        codec.f0(codes_of(codec))
    with pytest.raises(BadCodes, match="-12 to 12"):
        small_harmonic(None).set_pitch(small_harmonic(None).init_state(1), 12.5)


def test_noise_is_that_of_the_seed_and_place_of_each_stream():
    codec = small_harmonic((0.0, 1.0)).eval()
    codes = Codes(torch.randint(0, 32, (1, 3, 20)).repeat(2, 1, 1), "spectral")
    with torch.no_grad():
        state = codec.init_state(2)
        state.decoder.noise.seed[1] = 7
        first, other = codec.decode(codes, state)
        assert not torch.allclose(first, other, atol=1e-4)
        assert torch.equal(codec.decode(codes)[0], codec.decode(codes)[1])
        state.reset()
        again = codec.decode(codes, state)
    assert torch.equal(again[0], first) and torch.equal(again[1], first)


def test_what_is_saved_says_whether_there_is_a_source(tmp_path):
    codec = small_harmonic((100.0, 400.0)).eval()
    codes = Codes(torch.randint(0, 32, (1, 3, 9)), "spectral")
    save_codec(tmp_path / "new", codec)
    save_codec(tmp_path / "old", SpectralCodec(**CONFIG))
    with torch.no_grad():
        assert torch.equal(load_codec(tmp_path / "new").decode(codes), codec.decode(codes))
    assert "source" not in load_codec(tmp_path / "old").config
    with pytest.raises(ValueError, match="noise needs source"):
        SpectralCodec(**CONFIG, noise_band_hz=(1.0, 2.0))
    with pytest.raises(ValueError, match="rising"):
        SpectralCodec(**CONFIG, source="harmonic", noise_band_hz=(3.0, 2.0))


def test_f0_keeps_its_precision_where_products_are_rounded():
    codec = small_harmonic(None).eval()
    codes = Codes(torch.randint(0, 32, (1, 3, 9)), "spectral")
    with torch.no_grad():
        before = codec.f0(codes)
        after = Bf16Decoder().apply(codec).f0(codes)
    assert torch.equal(before.f0_hz, after.f0_hz) and torch.equal(before.voicing, after.voicing)
