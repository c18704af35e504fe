import pytest
import torch

from backend.training.codec.losses import SpectralLoss


def loss() -> SpectralLoss:
    return SpectralLoss(8000, (128, 256), (16, 32), (128,), floor=1e-4, bin_windows=(256,))


def test_equal_signals_have_no_loss():
    audio = torch.randn(2, 1, 2000)
    assert loss()(audio, audio.clone()) == pytest.approx((0, 0, 0, 0, 0, 0), abs=1e-4)


def test_half_amplitude_has_a_mel_loss_of_log_two():
    audio = torch.randn(2, 1, 4000, generator=torch.Generator().manual_seed(0))
    mel = loss()(0.5 * audio, audio).mel
    assert mel.item() == pytest.approx(0.6931, abs=2e-3)


def test_sign_flip_affects_only_the_complex_loss():
    audio = torch.randn(1, 1, 4000, generator=torch.Generator().manual_seed(0))
    distance = loss()(-audio, audio)
    assert distance.mel.item() == pytest.approx(0.0, abs=1e-6)
    assert distance.complex > 0.5


def test_missing_signal_has_a_gradient():
    audio = torch.full((1, 1, 2000), 1e-7, requires_grad=True)
    loss()(audio, torch.randn(1, 1, 2000)).mel.backward()
    assert audio.grad.abs().max() > 0


def test_channels_are_treated_as_items():
    audio, target = torch.randn(2, 2, 2000), torch.randn(2, 2, 2000)
    stereo = loss()(audio, target)
    mono = loss()(audio.reshape(4, 1, -1), target.reshape(4, 1, -1))
    assert torch.allclose(torch.stack(stereo), torch.stack(mono))


def test_loudness_weighs_loud_errors_more_than_log_mel():
    audio = torch.randn(1, 1, 4000, generator=torch.Generator().manual_seed(0))
    loud, soft = loss()(0.5 * audio, audio), loss()(0.05 * audio, 0.1 * audio)
    assert loud.mel.item() == pytest.approx(soft.mel.item(), rel=0.01)
    assert loud.loudness > 1.8 * soft.loudness


def test_one_window_of_several_is_that_windows_distance():
    audio, target = torch.randn(1, 1, 2000), torch.randn(1, 1, 2000)
    alone = SpectralLoss(8000, (128,), (16,), (128,), floor=1e-4)
    both = loss()(audio, target, windows=(128,))
    assert both.mel == alone(audio, target).mel and both.complex == alone(audio, target).complex


def test_bins_show_what_mel_bands_hide():
    """Two tones inside one band of a mel filter: the band's loudness is the same, the bins are not."""
    time = torch.arange(8000) / 8000.0
    audio, target = ((2 * torch.pi * hz * time).sin()[None, None] for hz in (3000.0, 3093.75))
    distance = SpectralLoss(8000, (256,), (4,), bin_windows=(256,))(audio, target)
    assert distance.mel < 0.2 * distance.spectrum
    assert distance.compressed > 0
