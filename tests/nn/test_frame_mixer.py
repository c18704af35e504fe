import pytest
import torch

from backend.nn.frame_mixer import SHORT_FRAMES, FrameMixer


@pytest.fixture
def mixer():
    torch.manual_seed(0)
    return FrameMixer(12).eval()


@pytest.mark.parametrize("sizes", [(1,) * 40, (40,), (3, 30, 7), (SHORT_FRAMES, SHORT_FRAMES + 1, 7)])
def test_chunked_equals_whole_for_both_implementations(mixer, sizes):
    x = torch.randn(2, 40, 12, generator=torch.Generator().manual_seed(1))
    state = mixer.init_state(2)
    with torch.inference_mode():
        pieces = torch.cat([mixer(piece, state) for piece in x.split(sizes, dim=1)], dim=1)
        assert torch.allclose(pieces, mixer(x), atol=1e-6)


def test_output_does_not_depend_on_the_future(mixer):
    x = torch.randn(1, 40, 12, generator=torch.Generator().manual_seed(2))
    changed = x.clone()
    changed[:, 25:] += 1.0
    with torch.inference_mode():
        assert torch.equal(mixer(x)[:, :25], mixer(changed)[:, :25])
        assert not torch.equal(mixer(x)[:, 25:], mixer(changed)[:, 25:])
