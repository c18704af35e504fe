import pytest
import torch

from backend.training.losses import SpectralLoss


def loss() -> SpectralLoss:
    return SpectralLoss(8000, (128, 256), (16, 32), (128,), floor=1e-4)


def test_equal_signals_have_no_loss():
    audio = torch.randn(2, 1, 2000)
    mel, complex_ = loss()(audio, audio.clone())
    assert mel == 0 and complex_ == 0


def test_halving_the_amplitude_costs_log_two_of_mel():
    audio = torch.randn(2, 1, 4000, generator=torch.Generator().manual_seed(0))
    mel, _ = loss()(0.5 * audio, audio)
    assert mel.item() == pytest.approx(0.6931, abs=2e-3)


def test_flipped_sign_is_free_for_mel_and_costs_complex():
    audio = torch.randn(1, 1, 4000, generator=torch.Generator().manual_seed(0))
    mel, complex_ = loss()(-audio, audio)
    assert mel.item() == pytest.approx(0.0, abs=1e-6)
    assert complex_ > 0.5


def test_missing_sound_has_a_gradient():
    audio = torch.full((1, 1, 2000), 1e-7, requires_grad=True)
    mel, _ = loss()(audio, torch.randn(1, 1, 2000))
    mel.backward()
    assert audio.grad.abs().max() > 0


def test_channels_count_as_items():
    audio, target = torch.randn(2, 2, 2000), torch.randn(2, 2, 2000)
    stereo = loss()(audio, target)
    mono = loss()(audio.reshape(4, 1, -1), target.reshape(4, 1, -1))
    assert torch.allclose(torch.stack(stereo), torch.stack(mono))
