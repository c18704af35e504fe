import pytest
import torch

from backend.nn.lapped import LappedAnalysis, LappedSynthesis


@pytest.mark.parametrize(("n_fft", "hop"), [(20, 16), (32, 16), (17, 16)])
def test_synthesis_undoes_analysis_up_to_the_delay(n_fft, hop):
    samples = torch.randn(2, 10 * hop)
    back = LappedSynthesis(n_fft, hop)(LappedAnalysis(n_fft, hop)(samples))
    lag = n_fft - hop
    assert back.shape == samples.shape
    assert (back[:, lag:] - samples[:, : samples.shape[1] - lag]).abs().max() < 1e-5


def test_noise_of_variance_one_has_power_one():
    samples = torch.randn(1, 200 * 64, generator=torch.Generator().manual_seed(0))
    power = LappedAnalysis(80, 64)(samples).abs().square().mean()
    assert power.item() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("n_fft", [16, 33])
def test_overlap_outside_one_hop_is_refused(n_fft):
    with pytest.raises(ValueError, match="expected 1 to hop 16"):
        LappedAnalysis(n_fft, 16)
