"""8-bit and 4-bit weights on CUDA GPUs through bitsandbytes. Not yet run or measured on a GPU."""

from __future__ import annotations

from importlib.util import find_spec

from torch import nn

from backend.optimize.base import Support


def supported(model: nn.Module) -> Support:
    if find_spec("bitsandbytes") is None:
        return Support(False, "bitsandbytes is not installed; run `python launch.py setup`")
    return Support(True, "bitsandbytes; not yet measured on a GPU")


def quantize(model: nn.Module, n_bits: int) -> nn.Module:
    """Replaces every linear layer of a model on a GPU in place: LLM.int8 without outliers, or NF4."""
    import bitsandbytes as bnb

    for name, child in model.named_children():
        if not isinstance(child, nn.Linear):
            quantize(child, n_bits)
            continue
        has_bias, device = child.bias is not None, child.weight.device
        weight = child.weight.detach().cpu()
        if n_bits == 8:
            packed = bnb.nn.Linear8bitLt(child.in_features, child.out_features, has_bias, False, threshold=0.0)
            packed.weight = bnb.nn.Int8Params(weight, requires_grad=False, has_fp16_weights=False)
        else:
            packed = bnb.nn.Linear4bit(
                child.in_features, child.out_features, has_bias, compute_dtype=child.weight.dtype, quant_type="nf4"
            )
            packed.weight = bnb.nn.Params4bit(weight, requires_grad=False, quant_type="nf4")
        if has_bias:
            packed.bias = child.bias
        setattr(model, name, packed.to(device))
    return model
