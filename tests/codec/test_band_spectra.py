import pytest
import torch

from backend.codec.band_spectra import BandAnalysis, BandSynthesis, band_of_bin, principal_components


def test_every_bin_has_a_band_and_every_band_a_bin():
    band = band_of_bin(400, 16, 56)
    assert band.shape == (201,)
    assert band.unique().tolist() == list(range(56))
    assert (band.diff() >= 0).all()
    assert band[:16].tolist() == list(range(16))
    widths = band.bincount()
    assert widths[-1] == widths.max() > 8


@pytest.mark.parametrize(("n_single", "n_bands"), [(0, 4), (8, 8), (4, 40)])
def test_bands_that_do_not_fit_are_refused(n_single, n_bands):
    with pytest.raises(ValueError, match="do not fit"):
        band_of_bin(40, n_single, n_bands)


def test_energies_alone_keep_the_band_energies_of_noise():
    shape = (80, 64, 8, 16)
    audio = 0.1 * torch.randn(1, 1, 64 * 200, generator=torch.Generator().manual_seed(0))
    analysis, synthesis = BandAnalysis(*shape).eval(), BandSynthesis(*shape).eval()
    energies = analysis(audio)
    sound = synthesis(torch.nn.functional.pad(energies, (0, 0, 0, synthesis.n_features - 16)))
    again = analysis(sound)
    assert (again.mean() - energies.mean()).abs() < 0.1
    assert (sound.std() / audio.std()).item() == pytest.approx(1.0, abs=0.15)  # the real bins at both ends lose half


def test_equal_features_give_equal_sound():
    synthesis = BandSynthesis(80, 64, 8, 16).eval()
    features = torch.randn(2, synthesis.n_features, 5)
    assert torch.equal(synthesis(features), synthesis(features))


def test_principal_components_are_orthogonal_and_ordered():
    rows = torch.randn(500, 4) * torch.tensor([1.0, 3.0, 0.1, 2.0]) + 5
    mean, components = principal_components(rows, 2)
    assert torch.allclose(mean, rows.mean(dim=0))
    assert torch.allclose(components.T @ components, torch.eye(2), atol=1e-5)
    assert components.abs().argmax(dim=0).tolist() == [1, 3]
