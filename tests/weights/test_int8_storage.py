import torch

from backend.weights.int8_storage import from_int8_rows, to_int8_rows


def test_round_trip_error_is_at_most_half_a_step():
    torch.manual_seed(0)
    weight = torch.randn(7, 33) * torch.logspace(-4, 2, 7)[:, None]
    restored = from_int8_rows(to_int8_rows({"a.weight": weight}))["a.weight"]
    assert ((restored - weight).abs() <= weight.abs().amax(1, keepdim=True) / 254 * 1.001).all()


def test_only_matrices_are_rounded_to_bytes():
    tensors = {"norm.weight": torch.randn(5), "x.bias": torch.randn(4), "conv.weight": torch.randn(3, 3, 3)}
    stored = to_int8_rows(tensors)
    assert set(stored) == set(tensors) and all(tensor.dtype == torch.float16 for tensor in stored.values())


def test_plain_files_pass_through():
    tensors = {"a.weight": torch.randn(3, 3), "a.scales": torch.randn(3), "zero.weight": torch.zeros(2, 2)}
    plain = from_int8_rows({"zero.weight": tensors["zero.weight"]})
    assert torch.equal(plain["zero.weight"], tensors["zero.weight"])
    assert not from_int8_rows(to_int8_rows({"zero.weight": torch.zeros(2, 2)}))["zero.weight"].any()
