import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.codec.fish_dac import FishDAC
from backend.codes import Codes
from backend.weights.fish_codec import config_from_reference, load_fish_codec
from backend.weights.reader import read_tensors

GOLDEN = Path(__file__).parents[1] / "golden" / "fish_codec"
META = json.loads((GOLDEN / "meta.json").read_text())
CONFIG = config_from_reference(META["codec"], META["q"], META["tf"], META["window"])
# Measured on the golden case: features 4.3e-6, audio 1.1e-6.
STREAMING_TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def codec():
    return load_fish_codec(GOLDEN, **CONFIG)


@pytest.fixture(scope="module")
def arrays():
    return read_tensors(GOLDEN / "arrays.safetensors")


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.inference_mode():
        yield


def noise(n_samples: int, batch: int = 2, seed: int = 0) -> torch.Tensor:
    return 0.3 * torch.randn(batch, 1, n_samples, generator=torch.Generator().manual_seed(seed))


def sizes_of(total: int) -> st.SearchStrategy[list[int]]:
    cuts = st.lists(st.integers(0, total), max_size=6).map(sorted)
    return cuts.map(lambda at: [b - a for a, b in zip([0, *at], [*at, total], strict=True)])


def encode_in_pieces(codec, audio, sizes):
    state = codec.init_state(audio.shape[0])
    pieces = [codec.encode(piece, state).indices for piece in audio.split(sizes, dim=2)]
    return torch.cat([*pieces, codec.finish(state).indices], dim=2)


def decode_in_pieces(codec, codes, sizes):
    state = codec.init_state(codes.indices.shape[0])
    return torch.cat([codec.decode(Codes(p, codes.codec), state) for p in codes.indices.split(sizes, dim=2)], dim=2)


@pytest.mark.parametrize("utterance", ["0", "1"])
def test_reference_is_matched(codec, arrays, utterance):
    golden = {name[2:]: value for name, value in arrays.items() if name.startswith(utterance)}
    for name, found in codec.encode_features(golden["wav"]).items():
        torch.testing.assert_close(found, golden[name], atol=1e-4, rtol=0)
    assert torch.equal(codec.encode(golden["wav"]).indices, golden["codes"].long())
    torch.testing.assert_close(codec.dequantize(golden["codes"].long()), golden["dequant_upsampled"], atol=1e-4, rtol=0)
    audio = codec.decode(Codes(golden["codes"].long(), "fish_dac"))
    torch.testing.assert_close(audio, golden["audio"], atol=1e-5, rtol=0)


def test_codes_out_of_range_are_clamped_and_the_callers_tensor_is_kept(codec, arrays):
    for utterance in ("0", "1"):
        indices = arrays[f"{utterance}.rand_codes"].long()
        sizes = torch.tensor(codec.spec.codebook_sizes)[:, None]
        assert (indices >= sizes).any()
        kept = indices.clone()
        audio = codec.decode(Codes(indices, "fish_dac"))
        torch.testing.assert_close(audio, arrays[f"{utterance}.rand_audio"], atol=1e-5, rtol=0)
        assert torch.equal(indices, kept)
        assert torch.equal(codec.decode(Codes(indices.clamp(max=sizes - 1), "fish_dac")), audio)


@settings(max_examples=12, deadline=None, database=None)
@given(sizes=sizes_of(40 * 32 + 11))
def test_streaming_encode_equals_whole_encode(codec, sizes):
    audio = noise(40 * 32 + 11)
    assert torch.equal(encode_in_pieces(codec, audio, sizes), codec.encode(audio).indices)


@settings(max_examples=12, deadline=None, database=None)
@given(sizes=sizes_of(40))
def test_streaming_decode_equals_whole_decode(codec, sizes):
    codes = codec.encode(noise(40 * 32))
    error = (decode_in_pieces(codec, codes, sizes) - codec.decode(codes)).abs().max()
    assert error < STREAMING_TOLERANCE


def test_streaming_survives_many_windows(codec):
    codes = codec.encode(noise(150 * 32, batch=1))  # 18 windows of the transformers
    error = (decode_in_pieces(codec, codes, 3) - codec.decode(codes)).abs().max()
    assert error < STREAMING_TOLERANCE


def test_prefix_decodes_to_the_prefix(codec):
    codes = codec.encode(noise(40 * 32))
    whole = codec.decode(codes)
    for n_frames in (1, 7, 8, 9, 33):
        part = codec.decode(Codes(codes.indices[:, :, :n_frames], "fish_dac"))
        assert (part - whole[:, :, : n_frames * 32]).abs().max() < STREAMING_TOLERANCE


def test_nothing_changes_before_its_cause(codec):
    audio = noise(20 * 32)
    codes = codec.encode(audio)
    changed = audio.clone()
    changed[:, :, 11 * 32 :] += 0.5
    later = codec.encode(changed).indices
    assert torch.equal(later[:, :, :11], codes.indices[:, :, :11])
    assert not torch.equal(later, codes.indices)


def test_encoder_attends_over_its_window_and_no_further():
    """One attention layer of 512 steps at hop 8: a sample reaches about 512 of them, and its influence then stops."""
    torch.manual_seed(0)
    codec = FishDAC(**CONFIG).eval()
    for block in codec.encoder.blocks:
        if block.transformer is not None:
            for layer in block.transformer.blocks:
                layer.attention_scale.gamma.fill_(1.0)
    audio = noise(700 * 8, batch=1)
    changed = audio.clone()
    changed[:, :, :8] += 5.0
    moved = (codec.encoder(audio) - codec.encoder(changed)).abs().amax(dim=(0, 1))
    # The convolutions before and after the transformer add at most 80 of its steps here.
    reach = int(moved.nonzero().max())
    assert 512 - 1 <= reach < 512 + 80
    state = codec.encoder.init_state(1)
    streamed = torch.cat([codec.encoder(part, state) for part in audio.split(8 * 50, dim=2)], dim=2)
    assert (streamed - codec.encoder(audio)).abs().max() < STREAMING_TOLERANCE


def test_reset_of_one_row_leaves_the_others(codec):
    state = codec.init_state(2)
    codec.decode(codec.encode(noise(12 * 32, seed=1), state), state)
    audio = noise(20 * 32)
    state.reset(torch.tensor([True, False]))
    codes = codec.encode(audio, state)
    fresh = codec.encode(audio[:1])
    assert torch.equal(codes.indices[:1], fresh.indices)
    assert not torch.equal(codes.indices[1:], codec.encode(audio[1:]).indices)
    sound = codec.decode(codes, state)
    assert (sound[:1] - codec.decode(fresh)).abs().max() < STREAMING_TOLERANCE
    state.reset()
    assert torch.equal(codec.encode(audio, state).indices, codec.encode(audio).indices)


def test_rows_do_not_hear_each_other(codec):
    audio = noise(15 * 32, batch=3)
    codes = codec.encode(audio)
    audio[1] = torch.nan
    assert torch.equal(codec.encode(audio).indices[[0, 2]], codes.indices[[0, 2]])
    alone = codec.decode(Codes(codes.indices[2:], "fish_dac"))
    assert (codec.decode(codes)[2:] - alone).abs().max() < STREAMING_TOLERANCE


def test_fewer_codebooks_are_the_first_ones(codec):
    audio = noise(6 * 32)
    codes = codec.encode(audio)
    for kept in range(1, 5):
        assert torch.equal(codec.encode(audio, n_codebooks=kept).indices, codes.first(kept).indices)
        assert codec.decode(codes.first(kept)).shape == audio.shape


def test_training_is_refused_clearly(codec):
    with pytest.raises(NotImplementedError, match="cannot be trained"):
        codec.reconstruct(noise(32))


def test_published_sizes_are_the_defaults():
    with torch.device("meta"):
        codec = FishDAC()
    assert codec.spec.sample_rate_hz == 44_100 and codec.spec.hop_samples == 2048
    assert codec.spec.codebook_sizes == (4096, *[1024] * 9)
    assert abs(codec.spec.frame_rate_hz - 21.533) < 1e-3
