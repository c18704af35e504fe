from fractions import Fraction

import numpy as np
import pytest
import torch

from backend.nn.pulse_train import HIGHEST_HARMONIC, PhaseAccumulator, PulseTrain

RATE_HZ, N_FFT = 24_000, 960
FRAME_S = 0.01


def tensor(*values):
    return torch.tensor([values], dtype=torch.float64)


def exact_turns(f0_hz):
    """The phase at the last frame's center, in rational arithmetic."""
    total = sum((Fraction(f) for f in f0_hz.tolist()), Fraction(0)) - Fraction(f0_hz[-1].item()) / 2
    return float(total * Fraction(FRAME_S) % 1)


def test_pulses_are_the_sum_of_their_harmonics():
    turns, f0_hz, slope = tensor(0.3, 0.0), tensor(180.0, 61.5), tensor(900.0, -40.0)
    spectra = PulseTrain(N_FFT, RATE_HZ)(turns, f0_hz, slope)
    time_s = (np.arange(N_FFT) - N_FFT // 2) / RATE_HZ
    for t in range(2):
        place = float(turns[0, t]) + float(f0_hz[0, t]) * time_s + 0.5 * float(slope[0, t]) * time_s**2
        n_harmonics = int(HIGHEST_HARMONIC * RATE_HZ / 2 / float(f0_hz[0, t]))
        pulses = np.cos(2 * np.pi * np.outer(np.arange(1, n_harmonics + 1), place)).sum(axis=0)
        wanted = np.fft.rfft(pulses * torch.hann_window(N_FFT, dtype=torch.float64).numpy())
        np.testing.assert_allclose(spectra[0, t].numpy(), wanted, atol=1e-5 * np.abs(wanted).max())


def test_phase_follows_a_steady_and_a_gliding_voice():
    phase = PhaseAccumulator(FRAME_S)
    steady = phase(torch.full((1, 5), 230.0))
    np.testing.assert_allclose(
        np.diff(np.unwrap(2 * np.pi * steady[0].numpy() + 0.0)) / (2 * np.pi) % 1, 0.3, atol=1e-12
    )
    # Of a frequency that rises evenly the trapezoids are the integral itself.
    glide = 100.0 + 50.0 * torch.arange(200, dtype=torch.float64) * FRAME_S
    turns = phase(glide[None])[0]
    exact = 100.0 * 1.99 + 25.0 * 1.99**2
    assert (turns[-1] - turns[0]).item() % 1 == pytest.approx(exact % 1, abs=1e-9)


def test_an_hour_in_pieces_keeps_the_phase_of_the_whole():
    f0_hz = 80.0 + 300.0 * torch.rand(2, 360_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    phase = PhaseAccumulator(FRAME_S)
    state = phase.init_state(2, f0_hz.device)
    pieces = torch.cat([phase(piece, state) for piece in f0_hz.split(977, dim=1)], dim=1)
    assert pieces.dtype == torch.float64
    difference = (pieces - phase(f0_hz) + 0.5) % 1 - 0.5
    assert not difference.any()
    assert (phase(f0_hz)[0, -1] - exact_turns(f0_hz[0])).abs() < 1e-9
