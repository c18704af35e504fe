"""MusicGen cases: a model in both published layouts, its logits, greedy codes, codec arrays and delay tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backend.codes import Codes
from backend.lm.delay_pattern import TO_PREDICT, delay_table
from backend.lm.sampling_options import SamplingOptions
from backend.pipeline.music.musicgen import decode_music
from backend.weights.musicgen import MusicGen, load_musicgen
from backend.weights.tensor_files import read_tensors
from tests.golden.finding import Finding, compare, compare_codes

LOGIT_ATOL, AUDIO_ATOL = 2e-4, 1e-3


def accepts(meta: Mapping[str, Any]) -> bool:
    return {"codebooks", "channels", "vocab"} <= set(meta)


def check(folder: Path, meta: Mapping[str, Any]) -> Iterator[Finding]:
    """Compares every array of a case. Raises `BadCheckpoint` for an invalid case."""
    model = load_musicgen(folder / "model")
    arrays = read_tensors(folder / "golden.safetensors")
    with torch.inference_mode():
        yield from check_layouts(folder, model)
        yield from check_language_model(model, arrays)
        yield from check_codec(model, arrays)
        yield from check_delays(model, json.loads((folder / "delay_pattern.json").read_text()))


def check_layouts(folder: Path, model: MusicGen) -> Iterator[Finding]:
    other = load_musicgen(folder / "audiocraft", text_folder=folder / "model")
    for name, ours, theirs in (("lm", model.lm, other.lm), ("codec", model.codec, other.codec)):
        pairs = zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True)
        worst = max(float((a - b).abs().max()) for a, b in pairs)
        is_same = ours.state_dict().keys() == theirs.state_dict().keys() and worst == 0
        yield Finding(f"{name} of both layouts", worst, "0", is_same)


def check_language_model(model: MusicGen, arrays: Mapping[str, Tensor]) -> Iterator[Finding]:
    mask = arrays["attention_mask"]
    text = model.text_encoder(arrays["input_ids"], mask)
    yield compare("text_hidden", text, arrays["text_hidden"], LOGIT_ATOL)
    inputs = arrays["decoder_input_ids"]
    told = model.lm(inputs, model.lm.init_state(text, mask, inputs.shape[2]))
    null = model.lm.init_state(torch.zeros_like(text), torch.zeros_like(mask), inputs.shape[2])
    untold = model.lm(inputs, null)
    yield compare("logits", told, arrays["logits"], LOGIT_ATOL)
    yield compare("logits_uncond", untold, arrays["logits_uncond"], LOGIT_ATOL)
    yield compare("logits_cfg3", untold + 3 * (told - untold), arrays["logits_cfg3"], LOGIT_ATOL)
    state = model.lm.init_state(text, mask, inputs.shape[2])
    pieces = [model.lm(piece, state) for piece in inputs.split([3, *[1] * (inputs.shape[2] - 3)], dim=2)]
    yield compare("logits step by step", torch.cat(pieces, 2), arrays["logits"], LOGIT_ATOL)
    for name, guidance in (("greedy_nocfg", 1.0), ("greedy_cfg3", 3.0), ("greedy_cfg3_prompted", 3.0)):
        expected = arrays[f"{name}_codes"]
        prompt = arrays["prompt_codes"] if name.endswith("prompted") else None
        codes = model.lm.generate(
            text, mask, expected.shape[2], [0] * len(mask), SamplingOptions.greedy(), guidance, prompt
        )
        yield compare_codes(f"{name}_codes", codes, expected)
        if f"{name}_wav" in arrays:
            yield compare(f"{name}_wav", decode_music(model, expected), arrays[f"{name}_wav"], AUDIO_ATOL)


def check_codec(model: MusicGen, arrays: Mapping[str, Tensor]) -> Iterator[Finding]:
    codec, codes = model.codec, arrays["codec_codes"]
    yield compare("codec_latent", codec.encoder(arrays["codec_wav"]), arrays["codec_latent"], AUDIO_ATOL)
    yield compare_codes("codec_codes", codec.encode(arrays["codec_wav"]).indices, codes)
    decoded = codec.decode(Codes(codes, codec.spec.name))
    yield compare("codec_decoded", decoded, arrays["codec_decoded"], AUDIO_ATOL)


def check_delays(model: MusicGen, tables: Mapping[str, Any]) -> Iterator[Finding]:
    delays, pad_id = model.lm.config.delays, model.lm.config.codebook_size
    for name, expected in tables.items():
        prompt = torch.tensor(expected["input"])[None, :, 1:]
        n_frames = expected["max_length"] - 1 - max(delays)
        table = delay_table(prompt, n_frames, delays, pad_id)
        yield compare_codes(f"delays {name}", table, torch.tensor(expected["mask"])[None])
        start = torch.where(table == TO_PREDICT, pad_id, table)[:, :, : prompt.shape[2] + 1]
        yield compare_codes(f"start {name}", start, torch.tensor(expected["start_ids"])[None])
