import pytest
import torch

from backend.codec.soundstream import SoundStream
from backend.codec.vq.residual import dropout_rows

TINY = {"C": 2, "D": 8, "strides": [2, 4], "num_quantizers": 3, "codebook_size": 32, "sample_rate": 1600}


def tiny(seed=0):
    torch.manual_seed(seed)
    return SoundStream(**TINY)


def noise(n_samples, batch=2):
    return 0.3 * torch.randn(batch, 1, n_samples, generator=torch.Generator().manual_seed(0))


def test_default_codec_has_the_published_rates():
    spec = SoundStream(C=1, D=4).spec
    assert (spec.sample_rate_hz, spec.hop_samples, spec.frame_rate_hz) == (24_000, 320, 75)
    assert spec.bitrate_kbps() == 6 and spec.bitrate_kbps(4) == 3
    assert spec.is_causal and spec.latency_samples == 0


def test_full_size_frames_stream_as_they_decode_whole():
    torch.manual_seed(0)
    codec = SoundStream(C=4, D=16, codebook_size=64).eval()
    audio = noise(5 * 320)
    with torch.no_grad():
        codes, state = codec.encode(audio), codec.init_state(2)
        pieces = [codec.encode(piece, state) for piece in audio.split([100, 860, 640], dim=2)]
        assert torch.equal(torch.cat([piece.indices for piece in pieces], dim=2), codes.indices)
        sound = torch.cat([codec.decode(piece, state) for piece in pieces], dim=2)
        assert (sound - codec.decode(codes)).abs().max() <= 1e-5


def test_plain_indices_decode_like_codes():
    codec = tiny().eval()
    with torch.no_grad():
        codes = codec.encode(noise(80))
        assert torch.equal(codec.decode(codes.indices[:, :2, :]), codec.decode(codes.first(2)))


def test_config_builds_the_same_codec():
    codec = tiny()
    assert codec.config == TINY
    again = SoundStream.from_config(codec.config)
    assert again.spec == codec.spec
    again.load_state_dict(codec.state_dict(), strict=True)


def test_long_sound_in_blocks_equals_one_pass():
    """Without gradients a CPU works through a second at a time; with gradients all at once."""
    codec = tiny().eval()
    audio = noise(3 * 1600 + 8)
    whole, sound = codec.encode(audio), codec.decode(codec.encode(audio))
    with torch.no_grad():
        assert torch.equal(codec.encode(audio).indices, whole.indices)
        assert (codec.decode(whole) - sound).abs().max() <= 1e-5


def test_reconstruction_is_what_decoding_gives():
    codec = tiny().eval()
    audio = noise(80)
    with torch.no_grad():
        found = codec.reconstruct(audio)
        assert torch.equal(found.indices, codec.encode(audio).indices)
        assert (found.audio.clamp(-1, 1) - codec.decode(codec.encode(audio))).abs().max() <= 1e-5


def test_warm_up_skips_the_codebooks():
    codec = tiny().train()
    before = codec.quantizer.state_dict()["stages.0.codebook"].clone()
    found = codec.reconstruct(noise(80), is_quantized=False)
    assert found.indices is None and found.commitment == 0
    assert torch.equal(codec.quantizer.state_dict()["stages.0.codebook"], before)


@pytest.mark.parametrize("is_quantized", [False, True])
def test_every_weight_of_encoder_and_decoder_learns(is_quantized):
    codec = tiny().train()
    found = codec.reconstruct(noise(80), torch.tensor([1, 3]), is_quantized)
    (found.audio.square().mean() + found.commitment).backward()
    for name, weight in codec.named_parameters():
        assert weight.grad is not None and weight.grad.abs().sum() > 0, name


def test_in_place_activations_leave_the_gradient_right():
    torch.manual_seed(0)
    codec = SoundStream(C=1, D=2, strides=(2,), num_quantizers=1, codebook_size=4).double()
    audio = noise(6, batch=1).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: codec.reconstruct(x, is_quantized=False).audio, audio)


def test_training_fits_a_tone():
    torch.manual_seed(0)
    codec = SoundStream(C=4, D=8, strides=(2, 4), num_quantizers=3, codebook_size=32, sample_rate=1600).train()
    time_s = torch.arange(320) / 1600
    pitches_hz = torch.tensor([100.0, 130, 170, 210])[:, None]
    audio = 0.5 * torch.sin(2 * torch.pi * pitches_hz * time_s)[:, None]
    optimizer = torch.optim.Adam(codec.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(0)
    for step in range(120):
        found = codec.reconstruct(audio, dropout_rows(4, 3, 0.5, generator), is_quantized=step >= 40)
        loss = (found.audio - audio).square().mean() + 0.25 * found.commitment
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    codec.eval()
    with torch.no_grad():
        codes = codec.encode(audio)
        errors = [(codec.decode(codes.first(k)) - audio).square().mean().item() for k in (1, 3)]
    # The tones have a power of 0.125: three codebooks leave under a tenth of it, one leaves more.
    assert errors[1] < 0.125 / 10, errors
    assert errors[1] < errors[0], errors
