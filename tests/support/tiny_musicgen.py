"""A tiny random MusicGen written in both published layouts."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from backend.codec.encodec import Encodec
from backend.lm.delay_lm import DelayLM, DelayLMConfig
from backend.lm.delay_pattern import stereo_delays
from backend.lm.t5_encoder import T5Encoder

RATIOS, RATE_HZ, CARD, DIM, HEADS, LAYERS, FFN, TEXT_DIM = (5, 2), 500, 16, 16, 2, 2, 40, 12


def write_musicgen(folder: Path, seed: int = 0, n_channels: int = 1) -> None:
    """Writes `folder`/transformers and `folder`/audiocraft with equal weights."""
    torch.manual_seed(seed)
    K = 4 * n_channels
    delays = stereo_delays(K) if n_channels == 2 else tuple(range(K))
    lm = DelayLM(DelayLMConfig(DIM, LAYERS, HEADS, FFN, CARD, delays, TEXT_DIM))
    codec = Encodec(RATE_HZ, 1, RATIOS, n_filters=4, dim=8, n_codebooks=4, codebook_size=CARD)
    text = T5Encoder(64, TEXT_DIM, LAYERS, HEADS, 6, 20)
    hf, craft = folder / "transformers", folder / "audiocraft"
    hf.mkdir(parents=True)
    craft.mkdir()
    _write_transformers(hf, lm, codec, text, n_channels)
    _write_audiocraft(craft, lm, codec, n_channels)


def _write_transformers(folder: Path, lm: DelayLM, codec: Encodec, text: T5Encoder, n_channels: int) -> None:
    out: dict[str, Tensor] = {}
    given, body = lm.state_dict(), "decoder.model.decoder."
    for k, weight in enumerate(given["head.weight"].chunk(lm.config.n_codebooks)):
        out[f"decoder.lm_heads.{k}.weight"] = weight
        out[f"{body}embed_tokens.{k}.weight"] = given[f"embeddings.{k}.weight"]
    for part in ("weight", "bias"):
        out[f"{body}layer_norm.{part}"] = given[f"norm.{part}"]
        out[f"enc_to_dec_proj.{part}"] = given[f"text_project.{part}"]
    for i in range(LAYERS):
        layer, own = f"{body}layers.{i}.", f"layers.{i}."
        for p, weight in zip("qkv", given[f"{own}qkv.weight"].chunk(3), strict=True):
            out[f"{layer}self_attn.{p}_proj.weight"] = weight
        for p, weight in zip("kv", given[f"{own}cross_kv.weight"].chunk(2), strict=True):
            out[f"{layer}encoder_attn.{p}_proj.weight"] = weight
        for a, b in (("self_attn.out_proj", "out"), ("encoder_attn.q_proj", "cross_q"),
                     ("encoder_attn.out_proj", "cross_out"), ("fc1", "up"), ("fc2", "down")):  # fmt: skip
            out[f"{layer}{a}.weight"] = given[f"{own}{b}.weight"]
        for a, b in (("self_attn", "norm"), ("encoder_attn", "cross_norm"), ("final", "ffn_norm")):
            for part in ("weight", "bias"):
                out[f"{layer}{a}_layer_norm.{part}"] = given[f"{own}{b}.{part}"]
    for name, tensor in _with_norms(codec, ".parametrizations.weight.original0", ".parametrizations.weight.original1"):
        out[f"audio_encoder.{name}"] = tensor
    for name, tensor in text.state_dict().items():
        out[f"text_encoder.{_t5_name(name)}"] = tensor
    save_file({name: tensor.clone().contiguous() for name, tensor in out.items()}, folder / "model.safetensors")
    audio = {
        "sampling_rate": RATE_HZ, "audio_channels": 1, "upsampling_ratios": RATIOS, "num_filters": 4, "hidden_size": 8,
        "num_residual_layers": 1, "kernel_size": 7, "last_kernel_size": 7, "residual_kernel_size": 3,
        "dilation_growth_rate": 2, "compress": 2, "num_lstm_layers": 2, "codebook_size": CARD, "pad_mode": "reflect",
        "use_conv_shortcut": False, "use_causal_conv": False, "trim_right_ratio": 1.0,
    }  # fmt: skip
    decoder = {
        "hidden_size": DIM, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "ffn_dim": FFN,
        "vocab_size": CARD, "num_codebooks": lm.config.n_codebooks, "audio_channels": n_channels,
    }  # fmt: skip
    t5 = {
        "vocab_size": 64, "d_model": TEXT_DIM, "num_layers": LAYERS, "num_heads": HEADS, "d_kv": 6, "d_ff": 20,
        "layer_norm_epsilon": 1e-6, "relative_attention_num_buckets": 32,
    }  # fmt: skip
    config = {"model_type": "musicgen", "audio_encoder": audio, "decoder": decoder, "text_encoder": t5}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "tokenizer.json").write_text(json.dumps(TOKENIZER), encoding="utf-8")


def _write_audiocraft(folder: Path, lm: DelayLM, codec: Encodec, n_channels: int) -> None:
    out: dict[str, Tensor] = {}
    given = lm.state_dict()
    for k, weight in enumerate(given["head.weight"].chunk(lm.config.n_codebooks)):
        out[f"linears.{k}.weight"], out[f"emb.{k}.weight"] = weight, given[f"embeddings.{k}.weight"]
    for part in ("weight", "bias"):
        out[f"out_norm.{part}"] = given[f"norm.{part}"]
        out[f"condition_provider.conditioners.description.output_proj.{part}"] = given[f"text_project.{part}"]
    for i in range(LAYERS):
        layer, own = f"transformer.layers.{i}.", f"layers.{i}."
        out[f"{layer}self_attn.in_proj_weight"] = given[f"{own}qkv.weight"]
        cross = torch.cat([given[f"{own}cross_q.weight"], given[f"{own}cross_kv.weight"]])
        out[f"{layer}cross_attention.in_proj_weight"] = cross
        for a, b in (("self_attn.out_proj", "out"), ("cross_attention.out_proj", "cross_out"), ("linear1", "up"),
                     ("linear2", "down")):  # fmt: skip
            out[f"{layer}{a}.weight"] = given[f"{own}{b}.weight"]
        for a, b in (("norm1", "norm"), ("norm_cross", "cross_norm"), ("norm2", "ffn_norm")):
            for part in ("weight", "bias"):
                out[f"{layer}{a}.{part}"] = given[f"{own}{b}.{part}"]
    config = {
        "transformer_lm": {"dim": DIM, "num_heads": HEADS, "num_layers": LAYERS, "hidden_scale": FFN / DIM,
                           "card": CARD, "norm_first": True, "positional_embedding": "sin"},
        "codebooks_pattern": {"modeling": "delay", "delay": {"delays": list(lm.config.delays)}},
        "interleave_stereo_codebooks": {"use": n_channels == 2},
    }  # fmt: skip
    _save_export(folder / "state_dict.bin", config, out)
    named = {}
    for name, tensor in _with_norms(codec, ".weight_g", ".weight_v"):
        kind = codec.get_submodule(".".join(name.split(".")[:3])) if not name.startswith("quantizer") else None
        is_up = kind is not None and type(kind).__name__ == "TrimmedTransposedConv"
        name = name.replace(".conv.", ".convtr.convtr." if is_up else ".conv.conv.")
        name = name.replace("encoder.layers.", "encoder.model.").replace("decoder.layers.", "decoder.model.")
        named[name.replace("quantizer.layers.", "quantizer.vq.layers.").replace(".codebook.", "._codebook.")] = tensor
    seanet = {
        "dimension": 8, "n_filters": 4, "n_residual_layers": 1, "ratios": list(RATIOS), "kernel_size": 7,
        "residual_kernel_size": 3, "last_kernel_size": 7, "dilation_base": 2, "pad_mode": "reflect",
        "true_skip": True, "compress": 2, "lstm": 2, "decoder": {"trim_right_ratio": 1.0},
    }  # fmt: skip
    config = {"sample_rate": RATE_HZ, "channels": 1, "seanet": seanet, "rvq": {"n_q": 4, "bins": CARD}}
    _save_export(folder / "compression_state_dict.bin", config, named)


def _save_export(path: Path, config: dict[str, object], tensors: dict[str, Tensor]) -> None:
    torch.save({"best_state": tensors, "xp.cfg": yaml.safe_dump(config), "version": "0", "exported": True}, path)


def _with_norms(codec: Encodec, g: str, v: str) -> list[tuple[str, Tensor]]:
    """Splits convolution weights into magnitude and direction."""
    found = []
    for name, tensor in codec.state_dict().items():
        if name.endswith("conv.weight"):
            stem = name.removesuffix(".weight")
            found.append((stem + g, tensor.flatten(1).norm(dim=1).view(-1, 1, 1)))
            found.append((stem + v, tensor * 2))
        else:
            found.append((name, tensor))
    return found


def _t5_name(name: str) -> str:
    if name in (named := {"embedding.weight": "shared.weight", "norm.weight": "encoder.final_layer_norm.weight",
                "distance_bias.weight": "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"}):  # fmt: skip
        return named[name]
    _, i, part, _ = name.split(".")
    place = {"norm": "0.layer_norm", "ffn_norm": "1.layer_norm", "wi": "1.DenseReluDense.wi",
             "wo": "1.DenseReluDense.wo"}.get(part, f"0.SelfAttention.{part}")  # fmt: skip
    return f"encoder.block.{i}.layer.{place}.weight"


WORDS = ["<pad>", "</s>", "<unk>", "calm", "piano", "fast", "drums", "bpm", "in", "A", "minor"]
TOKENIZER = {
    "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
    "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
    "model": {"type": "WordLevel", "vocab": {word: i for i, word in enumerate(WORDS)}, "unk_token": "<unk>"},
}  # fmt: skip
