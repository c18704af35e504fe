import pytest
import torch

from backend.nn.rope import rope_table, rotate
from backend.nn.transformer import WindowTransformer, window_attention


@pytest.mark.parametrize("n_past", [0, 3, 9])
@pytest.mark.parametrize("n_queries", [1, 4, 5, 23])
def test_blocks_equal_one_masked_attention(n_past, n_queries):
    torch.manual_seed(0)
    window = 5
    q, k, v = torch.randn(2, 3, n_queries, 8), *torch.randn(2, 2, 3, n_past + n_queries, 8)
    distance = torch.arange(n_queries)[:, None] + n_past - torch.arange(n_past + n_queries)
    scores = (q @ k.mT / 8**0.5).masked_fill((distance < 0) | (distance >= window), -torch.inf)
    expected = scores.softmax(-1) @ v
    torch.testing.assert_close(window_attention(q, k, v, window), expected, atol=1e-5, rtol=0)


def test_long_input_makes_no_square_mask(monkeypatch):
    """Cost grows with T * window: no mask is larger than window * 2 window."""
    seen = []
    original = torch.nn.functional.scaled_dot_product_attention

    def spy(q, k, v, mask=None, **options):
        seen.append(q.shape[2] * k.shape[2])
        return original(q, k, v, mask, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
    window_attention(*torch.randn(3, 1, 1, 500, 4), window=10)
    assert max(seen) <= 10 * 20


def test_attention_reads_only_the_used_cache(monkeypatch):
    """The first chunks of a stream do not attend to a full window."""
    lengths = []
    original = torch.nn.functional.scaled_dot_product_attention

    def spy(q, k, v, mask=None, **options):
        lengths.append(k.shape[2])
        return original(q, k, v, mask, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
    model = WindowTransformer(8, 1, 2, 4, 16, window=100).eval()
    state = model.init_state(1)
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(1, 8, 2), state)
    assert lengths == [2, 4, 6]


def test_tables_are_rounded_to_bfloat16():
    table = rope_table(torch.arange(50)[None], 8)
    assert torch.equal(table.cos, table.cos.bfloat16().float())
    assert table.cos.dtype == torch.float32


def test_rotation_depends_on_distance_and_keeps_length():
    x = torch.randn(1, 1, 1, 8).expand(1, 40, 1, 8)
    rotated = rotate(x, rope_table(torch.arange(40)[None], 8))
    torch.testing.assert_close(rotated.norm(dim=-1), x.norm(dim=-1), atol=2e-2, rtol=0)
    assert torch.equal(rotated[:, 0], x[:, 0])


def test_far_positions_stream_like_near_ones():
    torch.manual_seed(0)
    model = WindowTransformer(8, 2, 2, 4, 16, window=6).eval()
    x = torch.randn(2, 8, 90)
    state = model.init_state(2)
    with torch.no_grad():
        streamed = torch.cat([model(part, state) for part in x.split([1, 2, 30, 57], 2)], 2)
        assert (streamed - model(x)).abs().max() < 1e-5
