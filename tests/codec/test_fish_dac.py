import pytest
import torch

from backend.codec.fish_dac import FishDAC
from backend.codes import Codes
from backend.weights.fish_codec import load_fish_codec
from backend.weights.tensor_files import read_tensors
from tests.support import codec_contract
from tests.support.codec_contract import decode_in_pieces, noise
from tests.support.fish_codec_case import CONFIG, GOLDEN, LAWS

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


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(codec, law):
    law(codec)


def test_memory_stays_flat(codec):
    codec_contract.memory_stays_flat(codec, duration_s=0.8, chunk_s=0.02)


@pytest.mark.slow
def test_memory_stays_flat_for_ten_minutes(codec):
    codec_contract.memory_stays_flat(codec, duration_s=600.0)


def test_first_output_needs_exactly_one_frame(codec):
    """The measured latency: output 0 depends on input hop - 1 and nothing after it."""
    hop, audio = codec.spec.hop_samples, noise(codec, 2 * codec.spec.hop_samples)
    assert codec.algorithmic_latency_samples == hop
    sound = codec.decode(codec.encode(audio))
    for position, depends in ((hop - 1, True), (hop, False)):
        struck = audio.clone()
        struck[:, :, position] = 20.0
        changed = codec.decode(codec.encode(struck))[:, :, :hop] != sound[:, :, :hop]
        assert bool(changed[:, :, 0].all()) == depends
        assert bool(changed.any()) == depends


@pytest.mark.parametrize("utterance", ["0", "1"])
def test_reference_is_matched(codec, arrays, utterance):
    golden = {name[2:]: value for name, value in arrays.items() if name.startswith(utterance)}
    for name, found in codec.encode_features(golden["wav"]).items():
        torch.testing.assert_close(found, golden[name], atol=1e-4, rtol=0)
    assert torch.equal(codec.encode(golden["wav"]).indices, golden["codes"].long())
    torch.testing.assert_close(codec.dequantize(golden["codes"].long()), golden["dequant_upsampled"], atol=1e-4, rtol=0)
    audio = codec.decode(Codes(golden["codes"].long(), "fish_dac"))
    torch.testing.assert_close(audio, golden["audio"], atol=1e-5, rtol=0)


def test_codes_out_of_range_are_clamped_in_a_copy(codec, arrays):
    for utterance in ("0", "1"):
        indices = arrays[f"{utterance}.rand_codes"].long()
        sizes = torch.tensor(codec.spec.codebook_sizes)[:, None]
        assert (indices >= sizes).any()
        kept = indices.clone()
        audio = codec.decode(Codes(indices, "fish_dac"))
        torch.testing.assert_close(audio, arrays[f"{utterance}.rand_audio"], atol=1e-5, rtol=0)
        assert torch.equal(indices, kept)
        assert torch.equal(codec.decode(Codes(indices.clamp(max=sizes - 1), "fish_dac")), audio)


def test_streaming_survives_many_windows(codec):
    codes = codec.encode(noise(codec, 150 * 32, batch=1))  # 18 windows of the transformers
    error = (decode_in_pieces(codec, codes, [3] * 50) - codec.decode(codes)).abs().max()
    assert error < STREAMING_TOLERANCE


def test_prefix_decodes_to_the_prefix(codec):
    codes = codec.encode(noise(codec, 40 * 32))
    whole = codec.decode(codes)
    for n_frames in (1, 7, 8, 9, 33):
        part = codec.decode(Codes(codes.indices[:, :, :n_frames], "fish_dac"))
        assert (part - whole[:, :, : n_frames * 32]).abs().max() < STREAMING_TOLERANCE


def test_encoder_attention_is_limited_to_its_window():
    """One attention layer of 512 steps at hop 8: a sample reaches about 512 of them, and its influence then stops."""
    torch.manual_seed(0)
    codec = FishDAC(**CONFIG).eval()
    for block in codec.encoder.blocks:
        if block.transformer is not None:
            for layer in block.transformer.blocks:
                layer.attention_scale.gamma.fill_(1.0)
    audio = noise(codec, 700 * 8, batch=1)
    changed = audio.clone()
    changed[:, :, :8] += 5.0
    moved = (codec.encoder(audio) - codec.encoder(changed)).abs().amax(dim=(0, 1))
    # The convolutions before and after the transformer add at most 80 of its steps here.
    reach = int(moved.nonzero().max())
    assert 512 - 1 <= reach < 512 + 80
    state = codec.encoder.init_state(1)
    streamed = torch.cat([codec.encoder(part, state) for part in audio.split(8 * 50, dim=2)], dim=2)
    assert (streamed - codec.encoder(audio)).abs().max() < STREAMING_TOLERANCE


def test_training_is_rejected(codec):
    with pytest.raises(NotImplementedError, match="cannot be trained"):
        codec.reconstruct(noise(codec, 32))


def test_published_sizes_are_the_defaults():
    with torch.device("meta"):
        codec = FishDAC()
    assert codec.spec.sample_rate_hz == 44_100 and codec.spec.hop_samples == 2048
    assert codec.spec.codebook_sizes == (4096, *[1024] * 9)
    assert abs(codec.spec.frame_rate_hz - 21.533) < 1e-3
