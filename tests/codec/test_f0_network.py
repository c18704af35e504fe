import pytest
import torch

from backend.codec.f0_network import HIGHEST_HZ, LOWEST_HZ, N_BINS, F0Network, bin_log2_hz, mean_log2_f0


def test_f0_is_the_mean_around_the_likeliest_bin():
    bins = bin_log2_hz()
    assert bins[0].exp2().item() == pytest.approx(LOWEST_HZ) and bins[-1].exp2().item() == pytest.approx(HIGHEST_HZ)
    logits = torch.full((1, N_BINS), -50.0)
    logits[0, 40], logits[0, 41] = 3.0, 3.0
    logits[0, 80] = 2.9  # an octave error that is almost as likely must not pull
    assert mean_log2_f0(logits).item() == pytest.approx(bins[40:42].mean().item(), abs=1e-5)


def test_pieces_agree_to_float64():
    torch.manual_seed(0)
    network = F0Network(12, (8, 8), 1, 2).eval()
    windows = torch.randn(2, 50, 12)
    whole, state = network(windows), network.init_state(2)
    pieces = [network(piece, state) for piece in windows.split([1, 3, 6, 40], dim=1)]
    assert whole.log2_f0.dtype == torch.float64 and whole.log2_f0.shape == (2, 100)
    assert (torch.cat([piece.log2_f0 for piece in pieces], dim=1) - whole.log2_f0).abs().max() < 1e-12


def test_the_precise_copy_is_neither_saved_nor_stale():
    torch.manual_seed(0)
    network = F0Network(12, (8, 8), 1, 2).eval()
    windows, names = torch.randn(1, 5, 12), set(network.state_dict())
    before = network(windows)
    assert set(network.state_dict()) == names
    network.load_state_dict({name: 0.5 * tensor for name, tensor in network.state_dict().items()})
    assert not torch.equal(network(windows).voicing, before.voicing)
