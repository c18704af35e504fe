import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

from backend.errors import BadCheckpoint
from backend.lm.config import DualARConfig
from backend.lm.dual_ar import DualAR
from backend.weights.checkpoint import checkpoint_hash, load_lm, read_config
from backend.weights.fish_lm import dual_ar_from_tensors, published_names, published_shapes
from backend.weights.int8_storage import to_int8_rows
from backend.weights.lora import merge_lora
from tests.support.repository import ROOT
from tests.support.tiny_lm import CONFIGS, SHARED, tiny_lm, tiny_prompt

KEYS = ROOT / "tests/golden/fish_lm/keys"
S1_MINI = {
    "model_type": "dual_ar", "vocab_size": 155776, "n_layer": 28, "dim": 1024, "n_head": 16, "n_local_heads": 8,
    "head_dim": 128, "intermediate_size": 3072, "rope_base": 1e6, "norm_eps": 1e-6, "max_seq_len": 8192,
    "tie_word_embeddings": False, "attention_qk_norm": True, "codebook_size": 4096, "num_codebooks": 10,
    "scale_codebook_embeddings": True, "norm_fastlayer_input": False, "n_fast_layer": 4, "fast_dim": 1024,
    "fast_n_head": 16, "fast_n_local_heads": 8, "fast_head_dim": 64, "fast_intermediate_size": 3072,
    "fast_attention_qk_norm": False, "initializer_range": 0.03125, "dropout": 0.0, "is_reward_model": False,
}  # fmt: skip
S1_IDS = {"semantic_begin_id": 151658, "semantic_end_id": 155753, "end_id": 151647}
S2_PRO = {
    "model_type": "fish_qwen3_omni", "dtype": "bfloat16", "semantic_start_token_id": 151678,
    "semantic_end_token_id": 155773, "audio_pad_token_id": 151677, "eos_token_id": 151645, "pad_token_id": 151669,
    "text_config": {
        "model_type": "fish_qwen3", "vocab_size": 155776, "max_seq_len": 32768, "n_layer": 36, "dim": 2560,
        "n_head": 32, "n_local_heads": 8, "head_dim": 128, "intermediate_size": 9728, "rope_base": 1000000,
        "norm_eps": 1e-6, "dropout": 0, "tie_word_embeddings": True, "attention_qkv_bias": False,
        "attention_o_bias": False, "attention_qk_norm": True, "use_moe": False, "audio_hidden_dim": 5120,
        "initializer_range": 0.01976423537605237,
    },
    "audio_decoder_config": {
        "model_type": "fish_qwen3_audio_decoder", "vocab_size": 4096, "num_codebooks": 10, "max_seq_len": 11,
        "text_dim": 2560, "n_layer": 4, "dim": 2560, "n_head": 32, "n_local_heads": 8, "head_dim": 128,
        "intermediate_size": 9728, "rope_base": 999, "norm_eps": 0.5, "attention_qk_norm": False,
        "attention_qkv_bias": False, "attention_o_bias": False,
    },
}  # fmt: skip


def listed(name):
    lines = (KEYS / name).read_text().splitlines()
    return {line.split("\t")[0]: tuple(map(int, re.findall(r"\d+", line.split("\t")[1]))) for line in lines if line}


@pytest.mark.parametrize(
    ("file", "raw", "ids", "n_million"),
    [("s1-mini.model.txt", S1_MINI, S1_IDS, 860.17), ("s2-pro.model.txt", S2_PRO, {}, 4561.9)],
)
def test_published_models_have_these_tensors(file, raw, ids, n_million):
    config = DualARConfig.from_dict(raw, **ids)
    with torch.device("meta"):
        shapes = published_shapes(DualAR(config))
    assert {name: tuple(tensor.shape) for name, tensor in shapes.items()} == listed(file)
    assert sum(tensor.numel() for tensor in shapes.values()) / 1e6 == pytest.approx(n_million, abs=0.05)
    assert config.unknown_keys == ()


def test_config_layouts_are_detected_and_completed():
    s1 = DualARConfig.from_dict(S1_MINI, **S1_IDS)
    s2 = DualARConfig.from_dict(S2_PRO)
    v15 = DualARConfig.from_dict({"vocab_size": 102048, "dim": 1024, "n_head": 16, "n_local_heads": 2, "n_layer": 24})
    assert (s1.family, s2.family, v15.family) == ("s1", "s2", "v15")
    assert (s2.scale_codebook_embeddings, s2.norm_fastlayer_input) == (True, True)
    assert (s2.semantic_begin_id, s2.semantic_end_id, s2.end_id) == (151678, 155773, 151645)
    # The fast stack uses the slow stack's base and epsilon, whatever its own config says.
    assert (s2.fast.rope_base, s2.fast.norm_eps, s2.fast.has_qk_norm) == (1000000, 1e-6, False)
    assert (s1.n_residual, s2.n_residual, v15.n_residual) == (1024, 4096, 160)
    assert (v15.head_dim, v15.intermediate_size, v15.rope_base, v15.norm_eps) == (64, 2816, 10000, 1e-5)
    assert (v15.fast_dim, v15.fast_n_local_heads, v15.tie_word_embeddings) == (1024, 2, True)
    odd = DualARConfig.from_dict({**S1_MINI, "n_local_heads": -1, "head_dim": None, "what": 1}, **S1_IDS)
    assert (odd.n_local_heads, odd.head_dim, odd.unknown_keys) == (16, 64, ("what",))
    again = DualARConfig.from_dict(s2.to_dict())
    assert again == s2


@pytest.mark.parametrize(
    "wrong",
    [{"n_head": 0}, {"n_local_heads": 3}, {"head_dim": 7}, {"semantic_end_id": 200}, {"end_id": 95}, {"dim": "32"},
     {"era": "s3"}, {"semantic_begin_id": 10}, {"side_sizes": 3}],
)  # fmt: skip
def test_invalid_configs_are_rejected(wrong):
    with pytest.raises(BadCheckpoint, match="not a valid model"):
        DualARConfig.from_dict({**SHARED, **CONFIGS["s1"], **wrong})


def published(model):
    """Returns a model's tensors in the layout of a published file."""
    tensors = {}
    for name, tensor in model.state_dict().items():
        if "w13" in name:
            tensors[name.replace("w13", "w1")], tensors[name.replace("w13", "w3")] = tensor.clone().chunk(2)
        else:
            tensors[name] = tensor.clone()
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def as_separate(tensors):
    """Splits wqkv into wq, wk and wv: 4 query heads and 2 each of keys and values, of size 8."""
    parts = {}
    for name, tensor in tensors.items():
        if "layers" in name and ".wqkv.weight" in name:
            for piece, rows in zip(("wq", "wk", "wv"), tensor.split((32, 16, 16)), strict=True):
                parts[name.replace("wqkv", piece)] = rows.contiguous()
        else:
            parts[name] = tensor
    return parts


def as_s2(tensors):
    renamed = {}
    for name, tensor in tensors.items():
        if name.startswith("codebook_"):
            name = f"audio_decoder.{name}"
        elif name.startswith("fast_"):
            name = f"audio_decoder.{name.removeprefix('fast_')}"
        else:
            name = f"text_model.model.{name}"
        renamed[name] = tensor
    return {**renamed, "audio_tower.conv.weight": torch.zeros(3)}


LAYOUTS = {
    "flat": lambda t: t,
    "wrapped": lambda t: {**{f"model.{name}": tensor for name, tensor in t.items()}, "model.audio_encoder.x": torch.zeros(2)},
    "separate": as_separate,
    "s2": as_s2,
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("file", ["model.safetensors", "model.pth", "sharded"])
def test_every_layout_and_file_gives_the_same_logits(tmp_path, layout, file):
    model = tiny_lm("s2")
    tensors = LAYOUTS[layout](published(model))
    if file == "sharded":
        names = sorted(tensors)
        index = {name: f"model-{i % 2}.safetensors" for i, name in enumerate(names)}
        for shard in set(index.values()):
            save_file({name: tensors[name] for name in names if index[name] == shard}, tmp_path / shard)
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    elif file == "model.pth":
        torch.save({"state_dict": tensors}, tmp_path / file)
    else:
        save_file(tensors, tmp_path / file)
    (tmp_path / "config.json").write_text(json.dumps(model.config.to_dict()))
    loaded = load_lm(tmp_path, read_config(tmp_path))
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())
    prompt = tiny_prompt(model)
    with torch.inference_mode():
        actual = loaded.prefill(prompt, loaded.init_state(1), 0)
        expected = model.prefill(prompt, model.init_state(1), 0)
    torch.testing.assert_close(actual.logits, expected.logits, atol=1e-6, rtol=1e-6)


def test_mismatched_weights_are_named():
    model = tiny_lm("s1")
    tensors = published(model)
    missing = {name: tensor for name, tensor in tensors.items() if name != "layers.1.feed_forward.w3.weight"}
    with pytest.raises(BadCheckpoint, match="1 missing: layers.1.feed_forward.w3.weight"):
        dual_ar_from_tensors(model.config, missing)
    with pytest.raises(BadCheckpoint, match="1 unexpected: layers.0.attention.gate"):
        dual_ar_from_tensors(model.config, {**tensors, "layers.0.attention.gate": torch.zeros(1)})
    wrong = {**tensors, "norm.weight": torch.zeros(31)}
    with pytest.raises(BadCheckpoint, match=r"mis-shaped: norm.weight \[31\] instead of \[32\]"):
        dual_ar_from_tensors(model.config, wrong)
    # wq and wv without wk cannot be fused.
    half = as_separate(tensors)
    del half["layers.0.attention.wk.weight"]
    with pytest.raises(BadCheckpoint, match="missing: layers.0.attention.wqkv.weight"):
        dual_ar_from_tensors(model.config, half)


def test_tables_stay_as_stored_and_rows_are_converted():
    model = tiny_lm("s1")
    halves = {name: tensor.bfloat16() for name, tensor in published(model).items()}
    loaded = dual_ar_from_tensors(model.config, halves)
    assert loaded.embeddings.weight.dtype == loaded.codebook_embeddings.weight.dtype == torch.bfloat16
    assert loaded.dtype == loaded.head.weight.dtype == loaded.layers[0].feed_forward.w13.weight.dtype == torch.float32
    rounded = dual_ar_from_tensors(model.config, {name: tensor.float() for name, tensor in halves.items()})
    prompt = tiny_prompt(model)
    with torch.inference_mode():
        actual, expected = (lm.prefill(prompt, lm.init_state(1), 0).logits for lm in (loaded, rounded))
    assert torch.equal(actual, expected)
    kept = dual_ar_from_tensors(model.config, halves, dtype=None)
    assert kept.dtype == torch.bfloat16
    with torch.inference_mode():
        out = kept.prefill(prompt, kept.init_state(1), 0).logits.float()
    assert torch.cosine_similarity(out, expected).item() > 0.999


def test_lora_is_merged():
    torch.manual_seed(0)
    weight, table = torch.randn(6, 4), torch.randn(9, 4)
    changes = {
        "a.lora_A": torch.randn(2, 4), "a.lora_B": torch.randn(6, 2), "t.lora_A": torch.randn(2, 9),
        "t.lora_B": torch.randn(4, 2),
    }  # fmt: skip
    merged = merge_lora({"a.weight": weight, "t.weight": table}, changes, alpha=16)
    torch.testing.assert_close(merged["a.weight"], weight + 8 * changes["a.lora_B"] @ changes["a.lora_A"])
    torch.testing.assert_close(merged["t.weight"], table + 8 * (changes["t.lora_B"] @ changes["t.lora_A"]).T)
    assert set(merged) == {"a.weight", "t.weight"}
    for broken in ({"a.lora_A": changes["a.lora_A"]}, {"b.lora_A": torch.zeros(2, 4), "b.lora_B": torch.zeros(6, 2)},
                   {"a.lora_A": torch.zeros(2, 5), "a.lora_B": torch.zeros(6, 2)}):  # fmt: skip
        with pytest.raises(BadCheckpoint, match="LoRA"):
            merge_lora({"a.weight": weight}, broken)


def test_checkpoint_with_lora_loads_merged(tmp_path):
    model = tiny_lm("s1")
    tensors = published(model)
    name = "layers.0.attention.wqkv"
    a, b = torch.randn(2, 32), torch.randn(64, 2)
    plain = {**tensors, f"{name}.weight": tensors[f"{name}.weight"] + 8 * b @ a}
    with torch.inference_mode():
        expected = dual_ar_from_tensors(model.config, plain)
    save_file({**tensors, f"{name}.lora_A": a, f"{name}.lora_B": b}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(model.config.to_dict()))
    inside = load_lm(tmp_path, read_config(tmp_path))
    save_file(tensors, tmp_path / "model.safetensors")
    torch.save({"state_dict": {f"{name}.lora_A": a, f"{name}.lora_B": b}}, tmp_path / "lora.ckpt")
    beside = load_lm(tmp_path, read_config(tmp_path), lora=tmp_path / "lora.ckpt")
    for loaded in (inside, beside):
        torch.testing.assert_close(loaded.layers[0].attention.wqkv.weight, expected.layers[0].attention.wqkv.weight)


def test_weights_stored_as_8_bit_rows_load(tmp_path):
    model = tiny_lm("s1")
    save_file(to_int8_rows(published(model)), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(model.config.to_dict()))
    loaded = load_lm(tmp_path, read_config(tmp_path))
    weight, actual = model.layers[0].attention.wo.weight, loaded.layers[0].attention.wo.weight
    assert 0 < (actual - weight).abs().max() < weight.abs().max() / 200


def test_shards_must_contain_the_indexed_tensors(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(tiny_lm("s1").config.to_dict()))
    save_file({"a": torch.zeros(1)}, tmp_path / "model-1.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    for weight_map, message in (
        ({"a": "model-1.safetensors", "b": "model-1.safetensors"}, "lacks b"),
        ({"a": "../model-1.safetensors"}, "does not map"),
        ({"a": "model-2.safetensors"}, "missing"),
        ([], "does not map"),
    ):
        index.write_text(json.dumps({"weight_map": weight_map}))
        with pytest.raises(BadCheckpoint, match=message):
            load_lm(tmp_path, read_config(tmp_path))


def test_folders_without_required_files_are_rejected(tmp_path):
    with pytest.raises(BadCheckpoint, match="has no config.json"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BadCheckpoint, match="not readable JSON"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "gpt"}')
    with pytest.raises(BadCheckpoint, match="'gpt' is not supported"):
        read_config(tmp_path)
    with pytest.raises(BadCheckpoint, match="has none of"):
        load_lm(tmp_path, tiny_lm("s1").config.to_dict())


def test_hash_depends_on_every_byte(tmp_path):
    save_file({"a": torch.zeros(100)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    before = checkpoint_hash(tmp_path)
    (tmp_path / "README.md").write_text("not part of it")
    assert checkpoint_hash(tmp_path) == before
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["a"][99] = 1
    save_file(tensors, tmp_path / "model.safetensors")
    assert checkpoint_hash(tmp_path) != before


def test_audio_encoder_tensors_are_dropped():
    names = published_names({"text_model.model.norm.weight": torch.zeros(1), "audio_decoder.norm.weight": torch.ones(1),
                             "audio_tower.x": torch.zeros(1)})  # fmt: skip
    assert {name: float(tensor) for name, tensor in names.items()} == {"norm.weight": 0.0, "fast_norm.weight": 1.0}
