import re
from pathlib import Path

import pytest
import torch
import torch.nn.utils.parametrize
from safetensors.torch import save_file

from backend.codec.fish_dac import FishDAC
from backend.errors import BadCheckpoint
from backend.weights.fish_codec import fish_codec_from_tensors, load_fish_codec
from backend.weights.tensor_files import read_tensors
from tests.support.fish_codec_case import CONFIG, GOLDEN

KEYS = Path(__file__).parent / "fish_codec_keys.txt"


def published_keys() -> dict[str, tuple[int, ...]]:
    """Returns names and shapes of the published file; `{a-b}` in a name stands for the numbers a to b."""
    keys = {}
    for line in KEYS.read_text().splitlines():
        name, shape = line.split()
        span = re.search(r"\{(\d+)-(\d+)\}", name)
        numbers = range(int(span[1]), int(span[2]) + 1) if span else [None]
        for number in numbers:
            full = name if number is None else name.replace(span[0], str(number))
            keys[full] = tuple(int(size) for size in shape.split("x"))
    return keys


@pytest.fixture(scope="module")
def tensors():
    return read_tensors(GOLDEN / "codec.safetensors")


def same_weights(first: FishDAC, second: FishDAC) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_every_published_key_is_mapped():
    keys = published_keys()
    assert len(keys) == 535
    codec = fish_codec_from_tensors({name: torch.empty(shape, device="meta") for name, shape in keys.items()})
    assert codec.spec.codebook_sizes == (4096, *[1024] * 9)
    assert codec.spec.hop_samples == 2048
    n_magnitudes = sum(
        torch.Size(shape).numel() for name, shape in keys.items() if name.endswith(("original0", "weight_g"))
    )
    n_published = sum(torch.Size(shape).numel() for shape in keys.values())
    assert sum(weight.numel() for weight in codec.parameters()) == n_published - n_magnitudes


@pytest.mark.parametrize("change", ["prefix", "old_names", "buffers", "wrapped"])
def test_every_file_layout_gives_the_same_codec(tensors, change, tmp_path):
    if change == "prefix":
        other = {f"generator.{name}": value for name, value in tensors.items()} | {"discriminator.x": torch.zeros(1)}
    elif change == "old_names":
        renames = {".parametrizations.weight.original0": ".weight_g", ".parametrizations.weight.original1": ".weight_v"}
        other = {re.sub(r"\.parametrizations\S+", lambda m: renames[m[0]], name): v for name, v in tensors.items()}
    else:
        other = {**tensors, "quantizer.pre_module.freqs_cis": torch.zeros(3), "a.causal_mask": torch.zeros(2)}
    if change == "wrapped":
        torch.save({"state_dict": other}, tmp_path / "codec.pth")
    else:
        save_file(other, tmp_path / "codec.safetensors")
    assert same_weights(load_fish_codec(tmp_path, **CONFIG), fish_codec_from_tensors(tensors, **CONFIG))


def test_folded_weights_are_magnitude_times_direction(tensors):
    codec = fish_codec_from_tensors(tensors, **CONFIG)
    stem = "decoder.model.1.block.1.conv.parametrizations.weight.original"
    # Transposed convolutions keep one magnitude per input channel.
    expected = torch._weight_norm(tensors[stem + "1"], tensors[stem + "0"], 0)
    torch.testing.assert_close(codec.decoder.blocks[0].up.weight, expected, atol=1e-7, rtol=1e-6)


def test_mismatched_tensors_are_named(tensors):
    removed, misshaped = "quantizer.post_module.norm.weight", "encoder.block.3.alpha"
    bad = {name: value for name, value in tensors.items() if name != removed}
    bad |= {misshaped: torch.zeros(1, 3, 1), "quantizer.surprise": torch.zeros(2)}
    with pytest.raises(BadCheckpoint) as caught:
        fish_codec_from_tensors(bad, **CONFIG)
    assert removed in str(caught.value) and misshaped in str(caught.value) and "quantizer.surprise" in str(caught.value)


def test_half_a_weight_norm_pair_is_named(tensors):
    for suffix in ("0", "1"):
        removed = f"encoder.block.0.conv.parametrizations.weight.original{suffix}"
        with pytest.raises(BadCheckpoint, match="encoder.block.0.conv"):
            fish_codec_from_tensors({name: v for name, v in tensors.items() if name != removed}, **CONFIG)


def test_folder_without_weights_is_rejected(tmp_path):
    with pytest.raises(BadCheckpoint, match=r"codec\.pth"):
        load_fish_codec(tmp_path)


def test_no_weight_is_normalized_again_while_decoding(tensors):
    codec = fish_codec_from_tensors(tensors, **CONFIG)
    assert not [name for name in codec.state_dict() if "parametriz" in name or name.endswith(("_g", "_v"))]
    assert not [name for name, module in codec.named_modules() if torch.nn.utils.parametrize.is_parametrized(module)]
