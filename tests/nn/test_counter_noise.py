import torch

from backend.nn.counter_noise import white_noise
from backend.nn.frame_noise import FrameNoise


def long(*values):
    return torch.tensor(values)


def test_noise_is_that_of_its_seed_and_place():
    whole = white_noise(long(5, 6), long(0, 0), 1000)
    piece = white_noise(long(5, 6), long(300, 300), 50)
    assert torch.equal(piece, whole[:, 300:350])
    assert torch.equal(white_noise(long(5), long(0), 1000), whole[:1])
    assert not torch.equal(whole[0], whole[1])


def test_places_beyond_32_bits_do_not_repeat():
    early, late = white_noise(long(1), long(0), 100), white_noise(long(1), long(2**32), 100)
    assert (early - late).abs().min() > 0


def test_noise_is_white_with_variance_one():
    noise = white_noise(long(3), long(0), 200_000)[0].double()
    assert abs(noise.mean()) < 0.01 and abs(noise.var() - 1) < 0.01
    neighbors = [(noise[lag:] * noise[:-lag]).mean().abs().item() for lag in (1, 2, 16, 256)]
    assert max(neighbors) < 0.01


def test_frames_in_pieces_are_the_frames_of_the_whole():
    frames = FrameNoise(16, 4)
    whole = frames(torch.empty(1, 200, 1))
    state = frames.init_state(1)
    pieces = torch.cat([frames(torch.empty(1, n, 1), state) for n in (1, 7, 92, 100)], dim=1)
    # Equal samples; the transform may round by how many frames it gets at once.
    assert torch.allclose(pieces, whole, atol=1e-6)
    assert abs(whole[:, :, 1:-1].abs().square().mean() - 1) < 0.1
