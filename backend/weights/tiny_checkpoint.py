"""Writes small random checkpoints of every layout that can synthesize noise, for tests and experiments."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from backend.codec.spectral import SpectralCodec
from backend.lm.config import FAMILY_KEY, DualARConfig
from backend.lm.dual_ar import DualAR
from backend.lm.spec import ModelFamily
from backend.weights.codec_checkpoint import save_codec
from backend.weights.fish_lm import published_shapes

N_CODEBOOKS, N_CODES = 4, 64
PHONEMES = ("^", "$", *" ;:,.!?'-", *"abcdefghijklmnopqrstuvwxyzæðŋɑɔəɛɪʃʊʌʒθˈˌː")
N_SPENT = 16
LM: dict[str, Any] = {
    "n_layer": 2, "n_head": 4, "n_local_heads": 2, "head_dim": 16, "dim": 64, "intermediate_size": 96,
    "rope_base": 1e6, "norm_eps": 1e-6, "max_seq_len": 4096, "codebook_size": N_CODES, "num_codebooks": N_CODEBOOKS,
    "n_fast_layer": 1, "fast_head_dim": 16, "initializer_range": 0.1,
}  # fmt: skip
FAMILY_CONFIGS: dict[ModelFamily, dict[str, Any]] = {
    "v15": {"tie_word_embeddings": False},
    "s1": {"tie_word_embeddings": False, "attention_qk_norm": True, "fast_attention_qk_norm": False,
           "scale_codebook_embeddings": True},
    "s2": {"tie_word_embeddings": True, "attention_qk_norm": True, "fast_attention_qk_norm": False,
           "scale_codebook_embeddings": True, "norm_fastlayer_input": True},
    "phonogram": {"tie_word_embeddings": True, "attention_qk_norm": True, "conditioning_dim": 8,
                  "aux": (("advance", 3),)},
}  # fmt: skip
CODEC: dict[str, Any] = {
    "sample_rate": 24000, "n_fft": 480, "hop_samples": 240, "stride": 4, "encoder_dims": [16, 16],
    "encoder_depths": [1, 1], "decoder_dims": [16, 16], "decoder_depths": [1, 1], "latent_dim": 8,
    "n_codebooks": N_CODEBOOKS, "codebook_size": N_CODES,
}  # fmt: skip
# Control tokens of each published vocabulary, in order; the codes follow.
CONTROLS = {
    "v15": ("begin_of_text", "end_of_text", "pad", "im_start", "im_end", "placeholder:0", "placeholder:1",
            "placeholder:2", "placeholder:3", "text", "voice", "interleave"),
    "s1": ("begin_of_text", "end_of_text", "pad", "im_start", "im_end", "phoneme_start", "phoneme_end",
           "tool_call_start", "tool_call_end", "text", "voice", "interleave", "audio_start", "audio_end", "audio"),
    "s2": ("endoftext", "im_start", "im_end", "pad", "phoneme_start", "phoneme_end", "text", "voice", "interleave",
           "audio_start", "audio_end", "audio_pad"),
}  # fmt: skip


def write_tiny_checkpoint(folder: Path, family: ModelFamily, seed: int = 0) -> Path:
    """Writes a language model, tokenizer and codec into `folder` in the layout of a model family.

    The codec is a small `spectral` one in every family. Equal seeds write equal weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = DualARConfig(family=family, **_write_tokenizer(folder, family), **LM, **FAMILY_CONFIGS[family])
        lm = DualAR(config)
        save_file(_stored(lm, family), folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(_manifest(config), indent=1) + "\n")
        save_codec(folder, SpectralCodec(**CODEC), {"name": "tiny"}, config=CODEC)
    return folder


def _write_tokenizer(folder: Path, family: ModelFamily) -> dict[str, Any]:
    """Writes the tokenizer files; returns the config fields that depend on them."""
    if family == "phonogram":
        listed = {"symbols": list(PHONEMES), "n_semantic": N_CODES, "edges": ["^", "$"], "language": "en-us"}
        (folder / "phonemes.json").write_text(json.dumps(listed, ensure_ascii=False) + "\n", encoding="utf-8")
        n = len(PHONEMES)
        ids = _ids(n + 1, end_id=n)
        return {**ids, "side_sizes": (n, n, n, N_SPENT)}
    names = [f"<|{name}|>" for name in CONTROLS[family]] + [f"<|semantic:{code}|>" for code in range(N_CODES)]
    controls = {name: 256 + index for index, name in enumerate(names)}
    if family == "s2":
        (folder / "tokenizer.json").write_text(json.dumps(_byte_tokenizer(controls)))
    else:
        ranks = [f"{base64.b64encode(bytes([byte])).decode()} {byte}" for byte in range(256)]
        (folder / "tokenizer.tiktoken").write_text("\n".join(ranks) + "\n")
        (folder / "special_tokens.json").write_text(json.dumps(controls))
    return _ids(controls["<|semantic:0|>"], end_id=controls["<|im_end|>"])


def _ids(first_code: int, end_id: int) -> dict[str, int]:
    last_code = first_code + N_CODES - 1
    return {
        "vocab_size": last_code + 1, "semantic_begin_id": first_code, "semantic_end_id": last_code, "end_id": end_id
    }  # fmt: skip


def _byte_tokenizer(controls: dict[str, int]) -> dict[str, Any]:
    """Returns a `tokenizer.json` whose vocabulary is single bytes."""
    added = [
        {"id": token_id, "content": name, "special": True, "normalized": False, "single_word": False, "lstrip": False,
         "rstrip": False}
        for name, token_id in controls.items()
    ]  # fmt: skip
    # Byte-level vocabularies map non-printable bytes to letters from U+0100 on.
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    letters = {byte: chr(byte if byte in plain else next(others)) for byte in range(256)}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": {"type": "NFC"},
        "pre_tokenizer": level, "post_processor": None, "decoder": level,
        "model": {"type": "BPE", "vocab": {letter: byte for byte, letter in letters.items()}, "merges": []},
    }  # fmt: skip


def _stored(lm: DualAR, family: ModelFamily) -> dict[str, torch.Tensor]:
    tensors = {name: tensor.contiguous() for name, tensor in published_shapes(lm).items()}
    if family != "s2":
        return tensors
    return {_s2_name(name): tensor for name, tensor in tensors.items()}


def _s2_name(name: str) -> str:
    if name.startswith(("codebook_", "fast_")):
        return f"audio_decoder.{name.removeprefix('fast_')}"
    return f"text_model.model.{name}"


def _manifest(config: DualARConfig) -> dict[str, Any]:
    values = config.to_dict()
    if config.family == "phonogram":
        return values
    # Published configs lack the fields that Phonogram adds.
    own = (FAMILY_KEY, "semantic_begin_id", "semantic_end_id", "end_id", "side_sizes", "conditioning_dim", "aux")
    flat = {key: value for key, value in values.items() if key not in (*own, "has_own_fast_tables")}
    if config.family != "s2":
        return flat
    fast = {key.removeprefix("fast_"): value for key, value in flat.items() if key.startswith("fast_")}
    slow = ("vocab_size", "n_layer", "max_seq_len", "rope_base", "norm_eps", "tie_word_embeddings", "initializer_range")
    return {
        "model_type": "fish_qwen3_omni", "semantic_start_token_id": config.semantic_begin_id,
        "semantic_end_token_id": config.semantic_end_id, "eos_token_id": config.end_id,
        "text_config": {key: flat[key] for key in (*fast, *slow)},
        "audio_decoder_config": {
            **fast, "vocab_size": config.codebook_size, "num_codebooks": config.num_codebooks,
            "n_layer": config.n_fast_layer, "max_seq_len": config.num_codebooks + 1, "text_dim": config.dim,
        },
    }  # fmt: skip
