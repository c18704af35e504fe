"""Codec cases: meta.json with the blocks `codec`, `q` and `tf`, the weights, and arrays for each utterance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backend.codec.fish_dac import FishDAC
from backend.codes import Codes
from backend.errors import BadCheckpoint
from backend.weights.fish_codec import fish_codec_from_tensors
from backend.weights.tensor_files import read_tensors
from tests.golden.finding import Finding, compare, compare_codes
from tests.support.fish_codec_case import config_from_reference

BLOCKS = ("codec", "q", "tf")
WEIGHTS = ("codec.safetensors", "codec.pth")
FEATURES = ("encoder_out", "downsampled", "pre_module_out")
FEATURE_ATOL = FEATURE_RTOL = 1e-3
AUDIO_ATOL = 1e-4


def accepts(meta: Mapping[str, Any]) -> bool:
    return all(isinstance(meta.get(block), dict) for block in BLOCKS)


def check(folder: Path, meta: Mapping[str, Any]) -> Iterator[Finding]:
    """Compares every array of a case. Raises `BadCheckpoint` for an invalid case."""
    weights = next((folder / name for name in WEIGHTS if (folder / name).is_file()), folder / WEIGHTS[0])
    codec = fish_codec_from_golden(meta, read_tensors(weights))
    arrays = read_tensors(folder / "arrays.safetensors")
    utterances = sorted({name.split(".")[0] for name in arrays}, key=lambda name: (len(name), name))
    with torch.inference_mode():
        for utterance in utterances:
            prefix = f"{utterance}."
            yield from check_utterance(
                codec, prefix, {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
            )


def fish_codec_from_golden(meta: Mapping[str, Any], state: Mapping[str, Tensor]) -> FishDAC:
    try:
        config = config_from_reference(meta["codec"], meta["q"], meta["tf"], meta["window"])
    except KeyError as error:
        raise BadCheckpoint(f"meta.json does not say {error}, which the codec is built with. Add it.") from error
    return fish_codec_from_tensors(state, **config, encoder_window=meta.get("encoder_block_window", 512))


def check_utterance(codec: FishDAC, prefix: str, arrays: Mapping[str, Tensor]) -> Iterator[Finding]:
    name = codec.spec.name
    if "wav" in arrays:
        wav = arrays["wav"]
        features = codec.encode_features(wav)
        for feature in FEATURES:
            if feature in arrays:
                yield compare(prefix + feature, features[feature], arrays[feature], FEATURE_ATOL, FEATURE_RTOL)
        indices = codec.encode(wav).indices
        if "codes" in arrays:
            yield compare_codes(prefix + "codes", indices, arrays["codes"], arrays.get("code_margin_min"))
        if "code_len" in arrays:
            n_frames = torch.full_like(arrays["code_len"], indices.shape[2])
            yield compare(prefix + "code_len", n_frames, arrays["code_len"], 0)
    if "codes" in arrays:
        codes = arrays["codes"].long()
        if "dequant_upsampled" in arrays:
            yield compare(
                prefix + "dequant_upsampled", codec.dequantize(codes), arrays["dequant_upsampled"],
                FEATURE_ATOL, FEATURE_RTOL,
            )  # fmt: skip
        if "audio" in arrays:
            audio = arrays["audio"]
            yield compare(prefix + "audio", codec.decode(Codes(codes, name)), audio, AUDIO_ATOL)
            n_half = (codes.shape[2] + 1) // 2
            half = codec.decode(Codes(codes[:, :, :n_half], name))
            yield compare(prefix + "audio of a prefix", half, audio[:, :, : half.shape[2]], AUDIO_ATOL)
            state = codec.init_state(1)
            pieces = [codec.decode(Codes(piece, name), state) for piece in codes.split(7, dim=2)]
            yield compare(prefix + "audio streamed", torch.cat(pieces, 2), audio, AUDIO_ATOL)
    if "rand_codes" in arrays and "rand_audio" in arrays:
        given = arrays["rand_codes"].long()
        kept = given.clone()
        yield compare(prefix + "rand_audio", codec.decode(Codes(given, name)), arrays["rand_audio"], AUDIO_ATOL)
        # Clamping must not change the caller's tensor.
        yield compare_codes(prefix + "rand_codes kept", given, kept)
