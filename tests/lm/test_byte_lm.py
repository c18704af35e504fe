"""The byte model: steps equal the whole pass, each token sees only those before it."""

import pytest
import torch

from backend.errors import BadCheckpoint
from backend.lm.byte_lm import ALPHABET_SIZE_16BIT, ByteLM, ByteLMConfig, create_audio_transformer_config
from backend.weights.byte_lm_checkpoint import byte_lm_hash, load_byte_lm, save_byte_lm

SMALL = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48, "window": 16, "n_recent": 3}


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = ByteLM(ByteLMConfig(**SMALL, n_phases=2)).eval()
    for tensor in model.parameters():
        torch.nn.init.normal_(tensor, std=0.2)
    return model


@torch.no_grad()
def test_steps_equal_the_whole_pass(model):
    tokens = torch.randint(256, (3, 40))
    whole = model(tokens)
    state = model.init_state(3)
    steps = [model.step(None if i == 0 else tokens[:, i - 1], state) for i in range(40)]
    assert (torch.stack(steps, dim=1) - whole).abs().max() < 2e-5


@torch.no_grad()
def test_tokens_do_not_see_the_future(model):
    tokens = torch.randint(256, (1, 20))
    other = tokens.clone()
    other[:, 12] = (other[:, 12] + 1) % 256
    changed = (model(tokens) - model(other)).abs().amax(dim=(0, 2))
    assert (changed[:13] == 0).all() and changed[13] > 0


def test_configs_follow_the_depth_and_refuse_others():
    assert create_audio_transformer_config().vocab_size == 256
    assert create_audio_transformer_config(use_16bit=True).vocab_size == ALPHABET_SIZE_16BIT
    assert (
        ByteLM(ByteLMConfig(**{**SMALL, "dim": 8, "vocab_size": 65536}))(torch.zeros(1, 2, dtype=int)).shape[2] == 65536
    )
    for wrong in ({"vocab_size": 300}, {"dim": 33}, {"dim": 6, "n_heads": 2}):
        with pytest.raises(BadCheckpoint):
            ByteLMConfig(**wrong)


@torch.no_grad()
def test_folders_give_back_the_model(model, tmp_path):
    save_byte_lm(tmp_path / "lm", model, {"trained_steps": 3})
    again = load_byte_lm(tmp_path / "lm")
    assert byte_lm_hash(again) == byte_lm_hash(model)
    again.head.bias += 1
    assert byte_lm_hash(again) != byte_lm_hash(model)
    weights = tmp_path / "lm" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(BadCheckpoint, match="not those"):
        load_byte_lm(tmp_path / "lm")
    with pytest.raises(BadCheckpoint, match="no folder"):
        load_byte_lm(tmp_path)
