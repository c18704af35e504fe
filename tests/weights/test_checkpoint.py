import json

import pytest
import torch
from safetensors.torch import load_file

from backend.codec.spectral import SpectralCodec
from backend.codes import Codes
from backend.errors import BadCheckpoint
from backend.lm.generate import generate
from backend.lm.spec import Prompt
from backend.lm.text_pointer import Pointer
from backend.text.prompts.conversation import start_conversation
from backend.weights.checkpoint import checkpoint_hash, load_checkpoint
from backend.weights.codec_checkpoint import save_codec
from backend.weights.tiny_checkpoint import CODEC, FAMILY_CONFIGS, write_tiny_checkpoint


@pytest.fixture
def folder(tmp_path):
    return write_tiny_checkpoint(tmp_path / "tiny-s1", "s1")


def rewrite(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    config.update(changes)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("family", FAMILY_CONFIGS)
@torch.inference_mode()
def test_checkpoint_generates_audio(tmp_path, family):
    checkpoint = load_checkpoint(write_tiny_checkpoint(tmp_path / f"tiny-{family}", family))
    lm, tokenizer = checkpoint.lm, checkpoint.tokenizer
    assert (checkpoint.family, checkpoint.name, checkpoint.ignored) == (family, f"tiny-{family}", ())
    assert lm.spec.name == f"tiny-{family}"
    ids = lm.spec.semantic_begin_id, lm.spec.semantic_end_id, lm.spec.end_id
    assert ids == (tokenizer.semantic_begin_id, tokenizer.semantic_end_id, tokenizer.end_id)
    conversation = start_conversation(
        family, tokenizer, lm.spec.n_codebooks, "hello there", max_seq_len=lm.spec.max_frames
    )
    tokens = torch.from_numpy(conversation.prompt(0))
    pointers, side, conditioning = None, None, None
    if lm.spec.n_side:
        pointers = [Pointer(conversation.opened(0)[0], lm.spec.n_side, 15)]
        side = torch.zeros(tokens.shape[1], lm.spec.n_side, dtype=torch.long)
        conditioning = torch.ones(lm.spec.conditioning_dim)
    (generation,) = generate(lm, [Prompt(tokens, conditioning, side)], seeds=[4], max_new_tokens=12, pointers=pointers)
    assert generation.codes.shape[1] > 0
    audio = checkpoint.codec.decode(Codes(generation.codes[None], checkpoint.codec.spec.name))
    assert audio.shape[2] == generation.codes.shape[1] * 960
    assert audio.isfinite().all() and audio.std() > 1e-6


def test_equal_seeds_write_equal_files(tmp_path):
    before = torch.random.get_rng_state()
    hashes = [checkpoint_hash(write_tiny_checkpoint(tmp_path / name, "s2", seed)) for name, seed in
              (("a", 1), ("b", 1), ("c", 2))]  # fmt: skip
    assert hashes[0] == hashes[1] != hashes[2]
    assert torch.equal(torch.random.get_rng_state(), before)


def test_codec_must_be_in_or_beside_the_checkpoint(tmp_path, folder):
    beside = write_tiny_checkpoint(tmp_path / "codec", "s1", seed=9)
    for name in ("codec.json", "codec.safetensors"):
        (folder / name).unlink()
    with pytest.raises(BadCheckpoint, match="has no codec.json"):
        load_checkpoint(folder)
    rewrite(folder, codec="../codec")
    stored = load_file(beside / "codec.safetensors")
    loaded = load_checkpoint(folder).codec.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in stored.items())
    rewrite(folder, codec="../../elsewhere/codec")
    with pytest.raises(BadCheckpoint, match="in or beside"):
        load_checkpoint(folder)


def test_mismatched_parts_are_rejected(tmp_path, folder):
    rewrite(folder, codebook_size=65)
    with pytest.raises(BadCheckpoint, match="mis-shaped"):
        load_checkpoint(folder)
    rewrite(folder, codebook_size=64, vocab_size=300)
    with pytest.raises(BadCheckpoint, match="are outside a vocabulary of 300"):
        load_checkpoint(folder)
    s2 = write_tiny_checkpoint(tmp_path / "s2", "s2")
    rewrite(s2, eos_token_id=257)
    with pytest.raises(BadCheckpoint, match="end id 257; the tokenizer has 268 to 331 and 258"):
        load_checkpoint(s2)


def test_codec_with_fewer_codebooks_is_rejected(tmp_path, folder):
    fewer = {**CODEC, "n_codebooks": 3}
    save_codec(folder, SpectralCodec(**fewer), config=fewer)
    with pytest.raises(BadCheckpoint, match=r"predicts 4 codebooks; codec '.*' has 3"):
        load_checkpoint(folder)
    smaller = {**CODEC, "codebook_size": 32}
    save_codec(folder, SpectralCodec(**smaller), config=smaller)
    with pytest.raises(BadCheckpoint, match="codebooks have"):
        load_checkpoint(folder)


def test_unused_config_keys_are_listed(folder):
    rewrite(folder, flux_capacitor=1, dropout=0.1)
    assert load_checkpoint(folder).ignored == ("flux_capacitor",)
