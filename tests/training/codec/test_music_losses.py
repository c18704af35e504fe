import torch

from backend.training.codec.music_losses import ChromaLoss, OnsetLoss

RATE_HZ = 16_000


def tone(frequency_hz: float, n_samples: int = 16_000) -> torch.Tensor:
    return 0.3 * torch.sin(2 * torch.pi * frequency_hz * torch.arange(n_samples) / RATE_HZ).view(1, 1, -1)


def test_octaves_are_the_same_pitch_class_and_semitones_are_not():
    loss = ChromaLoss(RATE_HZ)
    assert loss(tone(880), tone(440)) < 0.05
    assert loss(tone(466.16), tone(440)) > 1.5


def test_loudness_does_not_move_the_chroma():
    assert ChromaLoss(RATE_HZ)(0.1 * tone(440), tone(440)) < 0.02


def test_smeared_onset_costs_more_than_a_kept_one():
    clicks = torch.zeros(1, 1, 16_000)
    clicks[:, :, 4000:4400] = 0.5 * torch.randn(400, generator=torch.Generator().manual_seed(0))
    smeared = torch.nn.functional.avg_pool1d(clicks.abs(), 4001, stride=1, padding=2000)
    kept = -0.9 * clicks
    assert OnsetLoss()(kept, clicks) < 0.2 * OnsetLoss()(smeared, clicks)


def test_both_have_finite_gradients_from_silence():
    for loss in (ChromaLoss(RATE_HZ), OnsetLoss()):
        audio = torch.zeros(1, 1, 4000, requires_grad=True)
        loss(audio, tone(440, 4000)).backward()
        assert audio.grad.isfinite().all()
