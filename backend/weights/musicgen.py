"""MusicGen checkpoints in the layouts of transformers and audiocraft."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from backend.codec.encodec import Encodec
from backend.errors import BadCheckpoint
from backend.lm.delay_lm import DelayLM, DelayLMConfig
from backend.lm.delay_pattern import stereo_delays
from backend.lm.t5_encoder import T5Encoder
from backend.weights.encodec import encodec_from_audiocraft, encodec_from_transformers
from backend.weights.strict import load_strictly
from backend.weights.tensor_files import read_export, read_tensors

Tensors = Mapping[str, Tensor]
LM_FILE, CODEC_FILE = "state_dict.bin", "compression_state_dict.bin"


@dataclass(frozen=True, slots=True)
class MusicGen:
    """The three networks of a checkpoint. `n_channels` 2: codebooks alternate between left and right."""

    text_encoder: T5Encoder
    lm: DelayLM
    codec: Encodec
    n_channels: int


def load_musicgen(folder: Path, text_folder: Path | None = None, codec_folder: Path | None = None) -> MusicGen:
    """Loads a folder of either layout, found by its files.

    audiocraft's files hold no text encoder: `text_folder` is one in transformers' layout. Where they only name their
    codec, `codec_folder` holds it. Raises `BadCheckpoint` for anything missing or left over.
    """
    try:
        if (folder / LM_FILE).is_file():
            return _from_audiocraft(folder, text_folder, codec_folder)
        return _from_transformers(folder)
    except (KeyError, TypeError, yaml.YAMLError) as error:
        raise BadCheckpoint(f"The MusicGen config lacks or garbles {error}. Download the checkpoint again.") from error


def _from_transformers(folder: Path) -> MusicGen:
    config, tensors = _config(folder), _model_tensors(folder)
    if config.get("model_type") != "musicgen":
        raise BadCheckpoint(f"config.json says model_type {config.get('model_type')!r}; expected 'musicgen'.")
    decoder = config["decoder"]
    n_channels, K = decoder.get("audio_channels", 1), decoder["num_codebooks"]
    lm_config = DelayLMConfig(
        decoder["hidden_size"], decoder["num_hidden_layers"], decoder["num_attention_heads"], decoder["ffn_dim"],
        decoder["vocab_size"], stereo_delays(K) if n_channels == 2 else tuple(range(K)),
        config["text_encoder"]["d_model"] if "enc_to_dec_proj.weight" in tensors else None,
    )  # fmt: skip
    own = {n: t for n, t in tensors.items() if n.startswith(("decoder.", "enc_to_dec_proj."))}
    codec = encodec_from_transformers(config["audio_encoder"], _under(tensors, "audio_encoder."))
    text = t5_from_transformers(config["text_encoder"], _under(tensors, "text_encoder."))
    known = ("decoder.", "enc_to_dec_proj.", "audio_encoder.", "text_encoder.")
    if foreign := sorted(name for name in tensors if not name.startswith(known)):
        raise BadCheckpoint(f"The checkpoint has tensors that MusicGen has not: {', '.join(foreign[:5])}.")
    return MusicGen(text, _lm_from_transformers(lm_config, own), codec, n_channels)


def _from_audiocraft(folder: Path, text_folder: Path | None, codec_folder: Path | None) -> MusicGen:
    config, tensors = _export(folder / LM_FILE)
    lm, pattern = config["transformer_lm"], config["codebooks_pattern"]
    name = "condition_provider.conditioners.description.output_proj.weight"
    lm_config = DelayLMConfig(
        lm["dim"], lm["num_layers"], lm["num_heads"], int(lm["hidden_scale"] * lm["dim"]), lm["card"],
        tuple(pattern["delay"]["delays"]), tensors[name].shape[1] if name in tensors else None,
    )  # fmt: skip
    if pattern["modeling"] != "delay" or lm["positional_embedding"] != "sin" or not lm["norm_first"]:
        raise BadCheckpoint("This audiocraft model has another pattern or other positions than MusicGen.")
    n_channels = 2 if (config.get("interleave_stereo_codebooks") or {}).get("use") else 1
    exported = read_export(folder / CODEC_FILE)
    if "pretrained" in exported:
        if codec_folder is None:
            raise BadCheckpoint(
                f"{CODEC_FILE} only names its codec, {exported['pretrained']}. Download that codec too."
            )
        codec = encodec_from_transformers(_config(codec_folder), _model_tensors(codec_folder))
    else:
        codec = encodec_from_audiocraft(*_export(folder / CODEC_FILE))
    if text_folder is None:
        raise BadCheckpoint("audiocraft checkpoints hold no text encoder. Download t5-base too.")
    text_config, text_tensors = _config(text_folder), _model_tensors(text_folder)
    if "text_encoder" in text_config:
        text_config, text_tensors = text_config["text_encoder"], _under(text_tensors, "text_encoder.")
    text = t5_from_transformers(text_config, text_tensors)
    return MusicGen(text, _lm_from_audiocraft(lm_config, tensors), codec, n_channels)


def t5_from_transformers(config: Mapping[str, Any], tensors: Tensors) -> T5Encoder:
    """Builds the text encoder; decoder tensors of a whole T5 are left out."""
    kind = config.get("feed_forward_proj", "relu")
    if kind not in ("relu", "gated-gelu"):
        raise BadCheckpoint(f"The text encoder's feed_forward_proj is {kind!r}; expected 'relu' or 'gated-gelu'.")
    is_gated = kind == "gated-gelu"
    encoder = T5Encoder(
        config["vocab_size"], config["d_model"], config["num_layers"], config["num_heads"], config["d_kv"],
        config["d_ff"], is_gated, config["layer_norm_epsilon"], config["relative_attention_num_buckets"],
        config.get("relative_attention_max_distance", 128),
    )  # fmt: skip
    names = {
        "shared.weight": "embedding.weight", "encoder.final_layer_norm.weight": "norm.weight",
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight": "distance_bias.weight",
    }  # fmt: skip
    ffn = {"wi_0": "wi", "wi_1": "gate", "wo": "wo"} if is_gated else {"wi": "wi", "wo": "wo"}
    for i in range(config["num_layers"]):
        layer, own = f"encoder.block.{i}.layer.", f"blocks.{i}."
        names |= {f"{layer}0.SelfAttention.{p}.weight": f"{own}{p}.weight" for p in "qkvo"}
        names |= {f"{layer}1.DenseReluDense.{p}.weight": f"{own}{q}.weight" for p, q in ffn.items()}
        names |= {f"{layer}0.layer_norm.weight": f"{own}norm.weight"}
        names |= {f"{layer}1.layer_norm.weight": f"{own}ffn_norm.weight"}
    skipped = ("decoder.", "lm_head.", "encoder.embed_tokens.")
    load_strictly(encoder, {names.get(n, n): t for n, t in tensors.items() if not n.startswith(skipped)})
    return encoder.eval()


def _lm_from_transformers(config: DelayLMConfig, tensors: Tensors) -> DelayLM:
    given = dict(tensors)
    own: dict[str, Tensor] = {}
    body = "decoder.model.decoder."
    for k in range(config.n_codebooks):
        own[f"embeddings.{k}.weight"] = given.pop(f"{body}embed_tokens.{k}.weight")
    for i in range(config.n_layers):
        layer, to = f"{body}layers.{i}.", f"layers.{i}."
        own[f"{to}qkv.weight"] = _joined(given, [f"{layer}self_attn.{p}_proj.weight" for p in "qkv"])
        own[f"{to}cross_kv.weight"] = _joined(given, [f"{layer}encoder_attn.{p}_proj.weight" for p in "kv"])
        same = {
            "self_attn.out_proj": "out", "encoder_attn.q_proj": "cross_q", "encoder_attn.out_proj": "cross_out",
            "fc1": "up", "fc2": "down", "self_attn_layer_norm": "norm", "encoder_attn_layer_norm": "cross_norm",
            "final_layer_norm": "ffn_norm",
        }  # fmt: skip
        _move(given, own, {layer + a: to + b for a, b in same.items()})
    own["head.weight"] = _joined(given, [f"decoder.lm_heads.{k}.weight" for k in range(config.n_codebooks)])
    _move(given, own, {f"{body}layer_norm": "norm", "enc_to_dec_proj": "text_project"})
    # A table of sinusoidal positions is computed, not loaded.
    given.pop(f"{body}embed_positions.weights", None)
    return _loaded(config, own | given)


def _lm_from_audiocraft(config: DelayLMConfig, tensors: Tensors) -> DelayLM:
    given = dict(tensors)
    own: dict[str, Tensor] = {}
    for k in range(config.n_codebooks):
        own[f"embeddings.{k}.weight"] = given.pop(f"emb.{k}.weight")
    for i in range(config.n_layers):
        layer, to = f"transformer.layers.{i}.", f"layers.{i}."
        cross = given.pop(f"{layer}cross_attention.in_proj_weight")
        own[f"{to}qkv.weight"] = given.pop(f"{layer}self_attn.in_proj_weight")
        own[f"{to}cross_q.weight"], own[f"{to}cross_kv.weight"] = cross[: config.dim], cross[config.dim :]
        same = {
            "self_attn.out_proj": "out", "cross_attention.out_proj": "cross_out", "linear1": "up", "linear2": "down",
            "norm1": "norm", "norm_cross": "cross_norm", "norm2": "ffn_norm",
        }  # fmt: skip
        _move(given, own, {layer + a: to + b for a, b in same.items()})
    own["head.weight"] = _joined(given, [f"linears.{k}.weight" for k in range(config.n_codebooks)])
    _move(given, own, {"out_norm": "norm", "condition_provider.conditioners.description.output_proj": "text_project"})
    return _loaded(config, own | given)


def _move(given: dict[str, Tensor], own: dict[str, Tensor], names: Mapping[str, str]) -> None:
    for source, target in names.items():
        for part in ("weight", "bias"):
            if f"{source}.{part}" in given:
                own[f"{target}.{part}"] = given.pop(f"{source}.{part}")


def _joined(given: dict[str, Tensor], names: list[str]) -> Tensor:
    return torch.cat([given.pop(name) for name in names])


def _loaded(config: DelayLMConfig, tensors: Tensors) -> DelayLM:
    lm = DelayLM(config)
    load_strictly(lm, tensors)
    return lm.eval()


def _under(tensors: Tensors, prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _config(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadCheckpoint("config.json is missing or is not JSON. Download the checkpoint again.") from error


def _model_tensors(folder: Path) -> dict[str, Tensor]:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return read_tensors(folder / "model.safetensors")
    shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    # Only names inside the folder: an index must not reach other files.
    return {n: t for shard in shards for n, t in read_tensors(folder / Path(shard).name).items()}


def _export(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    exported = read_export(path)
    config = yaml.safe_load(exported["xp.cfg"])
    return config, dict(exported["best_state"])
