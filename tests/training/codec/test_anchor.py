import pytest
import torch

from backend.nn.pulse_train import PhaseAccumulator, PulseTrain
from backend.training.codec.anchor import anchored_turns

RATE_HZ, N_FFT = 24_000, 960


@pytest.mark.parametrize("f0_hz", [85.0, 210.0])
def test_pulses_are_found_where_they_lie(f0_hz):
    hz = torch.full((1, 30), f0_hz, dtype=torch.float64)
    turns = PhaseAccumulator(0.01)(hz)
    shifted = (turns + 0.37) % 1
    spectra = PulseTrain(N_FFT, RATE_HZ)(shifted, hz, torch.zeros_like(hz)).to(torch.complex64)
    found = anchored_turns(turns, hz, spectra, RATE_HZ, 3500.0, 4)
    error = (found - shifted + 0.5) % 1 - 0.5
    assert error.abs().max() < 1 / 128
