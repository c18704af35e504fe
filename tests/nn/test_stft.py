import pytest
import torch

from backend.nn.stft import CausalISTFT, CausalSTFT


@pytest.mark.parametrize(("n_fft", "hop"), [(960, 240), (64, 16), (32, 16), (24, 8)])
def test_analysis_then_synthesis_is_a_pure_delay(n_fft, hop):
    samples = torch.randn(2, 40 * hop, generator=torch.Generator().manual_seed(0))
    delay = n_fft - hop
    restored = CausalISTFT(n_fft, hop)(CausalSTFT(n_fft, hop)(samples))
    assert torch.allclose(restored[:, delay:], samples[:, :-delay], atol=1e-5)
    # The first `delay` samples would need frames before the start.
    assert restored.shape == samples.shape


@pytest.mark.parametrize("position", [0, 7, 8, 100])
def test_impulse_is_delayed_by_the_stated_amount(position):
    samples = torch.zeros(1, 256)
    samples[0, position] = 1.0
    restored = CausalISTFT(32, 8)(CausalSTFT(32, 8)(samples))
    assert restored.abs().argmax().item() == position + 24
    assert restored.abs().sum().item() == pytest.approx(1.0, abs=1e-4)


def test_chunked_equals_whole():
    stft, istft = CausalSTFT(32, 8), CausalISTFT(32, 8)
    samples = torch.randn(3, 8 * 30, generator=torch.Generator().manual_seed(1))
    whole_spectra = stft(samples)
    whole = istft(whole_spectra)
    analysis, synthesis = stft.init_state(3), istft.init_state(3)
    at, spectra, pieces = 0, [], []
    for n_hops in (1, 2, 5, 1, 1, 11, 9):
        spectra.append(stft(samples[:, at : at + 8 * n_hops], analysis))
        pieces.append(istft(spectra[-1], synthesis))
        at += 8 * n_hops
    assert torch.allclose(torch.cat(spectra, dim=1), whole_spectra, atol=1e-5)
    assert torch.allclose(torch.cat(pieces, dim=1), whole, atol=1e-6)


def test_hop_must_divide_the_window():
    with pytest.raises(ValueError, match="multiple"):
        CausalSTFT(960, 250)
