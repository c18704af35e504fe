import torch

from backend.codec.pitch_shift import shifted_magnitude, smoothed_power
from backend.nn.pulse_train import PulseTrain

BIN_HZ = 25.0


def pulses(f0_hz: float) -> torch.Tensor:
    values = torch.full((1, 1), f0_hz, dtype=torch.float64)
    return PulseTrain(960, 24_000)(torch.zeros_like(values), values, torch.zeros_like(values)).abs()


def test_a_spectrum_smoothed_over_its_pitch_has_no_harmonics():
    comb = pulses(200.0)
    inside = smoothed_power(comb, torch.tensor([[200.0 / BIN_HZ]]))[0, 0, 12:400]
    assert comb[0, 0, 12:400].square().max() > 100 * comb[0, 0, 12:400].square().min()
    assert inside.max() < 1.1 * inside.min()


def test_harmonics_move_and_the_envelope_and_its_power_stay():
    envelope = torch.exp(-torch.arange(481) / 100.0)
    magnitude, target = pulses(150.0) * envelope, pulses(300.0)
    moved, found = shifted_magnitude(magnitude, torch.tensor([[150.0]]), target, torch.tensor([[300.0]]), BIN_HZ)
    peaks = [k * 12 for k in range(2, 30)]
    assert all(moved[0, 0, p] > 5 * moved[0, 0, p - 6] for p in peaks)
    ratio = found[0, 0, 20:400] / found[0, 0, 20] / (envelope[20:400] / envelope[20])
    assert ratio.min() > 0.9 and ratio.max() < 1.1
    powers = [m[0, 0, 24:360].square().sum() for m in (moved, magnitude)]
    assert abs(powers[0] / powers[1] - 1) < 0.1
