import torch

from backend.training.loop.ring_buffer import RingBuffer


def test_ring_holds_the_last_rows():
    ring = RingBuffer(5)
    assert ring.rows() is None
    for first in range(0, 12, 3):
        ring.push(torch.arange(first, first + 3)[:, None])
        held = sorted(ring.rows().flatten().tolist())
        assert held == list(range(max(first - 2, 0), first + 3))


def test_push_longer_than_the_ring_keeps_its_end():
    ring = RingBuffer(4)
    ring.push(torch.arange(10)[:, None])
    assert sorted(ring.rows().flatten().tolist()) == [6, 7, 8, 9]


def test_restored_ring_continues():
    ring, other = RingBuffer(4), RingBuffer(4)
    ring.push(torch.arange(3)[:, None])
    other.restore(ring.state(), torch.device("cpu"))
    other.push(torch.arange(3, 6)[:, None])
    assert sorted(other.rows().flatten().tolist()) == [2, 3, 4, 5]
