"""MusicGen checkpoints: both layouts, strictness, and the laws of the delayed language model."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from backend.codes import Codes
from backend.errors import BadCheckpoint, NotSupported
from backend.lm.sampling_options import SamplingOptions
from backend.pipeline.music.musicgen import decode_music, encode_music
from backend.weights.musicgen import MusicGen, load_musicgen
from tests.support.tiny_musicgen import write_musicgen

SAMPLED = SamplingOptions(temperature=1.0, top_p=1.0, top_k=8, repetition_penalty=1.0, ras=False)


@pytest.fixture(params=[1, 2], ids=["mono", "stereo"])
def layouts(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    write_musicgen(tmp_path / "m", seed=7, n_channels=request.param)
    return tmp_path / "m"


def load(layouts: Path) -> MusicGen:
    return load_musicgen(layouts / "transformers")


def conditions(n_rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    text = torch.randn(n_rows, 5, 12, generator=torch.Generator().manual_seed(1))
    return text, torch.ones(n_rows, 5, dtype=torch.long)


def test_both_layouts_load_to_equal_models(layouts: Path) -> None:
    ours, theirs = load(layouts), load_musicgen(layouts / "audiocraft", text_folder=layouts / "transformers")
    assert ours.n_channels == theirs.n_channels and ours.lm.config == theirs.lm.config
    for one, other in ((ours.lm, theirs.lm), (ours.codec, theirs.codec), (ours.text_encoder, theirs.text_encoder)):
        assert all(torch.equal(a, other.state_dict()[name]) for name, a in one.state_dict().items())


@pytest.mark.parametrize("change", ["missing", "left over"])
def test_a_checkpoint_that_does_not_fit_is_rejected(layouts: Path, change: str) -> None:
    path = layouts / "transformers" / "model.safetensors"
    tensors = load_file(path)
    if change == "missing":
        del tensors["decoder.model.decoder.layers.1.fc1.weight"]
    else:
        tensors["decoder.model.decoder.layers.1.fc3.weight"] = torch.zeros(2)
    save_file(tensors, path)
    with pytest.raises(BadCheckpoint):
        load(layouts)


def test_rows_of_a_batch_equal_rows_alone(layouts: Path) -> None:
    lm = load(layouts).lm
    text, mask = conditions(3)
    batch = lm.generate(text, mask, 12, [3, 4, 5], SAMPLED)
    for row in range(3):
        alone = lm.generate(text[row : row + 1], mask[:1], 12, [3 + row], SAMPLED)
        assert torch.equal(alone[0], batch[row])
    assert not torch.equal(batch, lm.generate(text, mask, 12, [6, 7, 8], SAMPLED))


def test_continuations_keep_their_prompt_and_repeat_the_whole(layouts: Path) -> None:
    lm = load(layouts).lm
    text, mask = conditions(2)
    greedy = SamplingOptions.greedy()
    whole = lm.generate(text, mask, 12, [0, 0], greedy)
    assert torch.equal(lm.generate(text, mask, 12, [0, 0], greedy, prompt=whole[:, :, :5]), whole)


def test_masking_of_padded_text_is_a_choice(layouts: Path) -> None:
    lm = load(layouts).lm
    text, mask = conditions(1)
    short, inputs = mask.clone(), torch.zeros(1, lm.config.n_codebooks, 3, dtype=torch.long)
    short[:, 3:] = 0
    masked = lm(inputs, lm.init_state(text, short, 3))
    torch.testing.assert_close(masked, lm(inputs, lm.init_state(text[:, :3], mask[:, :3], 3)))
    lm.masks_padding = False
    assert not torch.allclose(lm(inputs, lm.init_state(text, short, 3)), masked)


def test_codec_counts_every_started_frame_and_keeps_no_state(layouts: Path) -> None:
    model = load(layouts)
    codes = encode_music(model, torch.randn(2, model.n_channels, 95))
    assert codes.shape == (2, 4 * model.n_channels, 10)
    assert decode_music(model, codes).shape == (2, model.n_channels, 100)
    left = model.codec.decode(Codes(codes[:, :: model.n_channels], "encodec"))
    assert torch.equal(decode_music(model, codes)[:, :1], left)
    with pytest.raises(NotSupported):
        model.codec.init_state(1)
