"""EnCodec weights in the layouts of transformers and audiocraft."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from backend.codec.encodec import Encodec
from backend.errors import BadCheckpoint
from backend.nn.weight_norm import fold_weight_norm
from backend.weights.strict import load_strictly

# Statistics of training: decoding does not use them.
TRAINING_STATISTICS = ("codebook.cluster_size", "codebook.embed_avg", "codebook.inited")
_AUDIOCRAFT_NAMES = (
    (re.compile(r"^(encoder|decoder)\.model\."), r"\1.layers."),
    (re.compile(r"\.conv\.conv\."), ".conv."),
    (re.compile(r"\.convtr\.convtr\."), ".conv."),
    (re.compile(r"^quantizer\.vq\.layers\.(\d+)\._codebook\."), r"quantizer.layers.\1.codebook."),
)


def encodec_from_transformers(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Encodec:
    """Builds EnCodec from transformers' `audio_encoder` config and tensors. Raises `BadCheckpoint` for misfits."""
    if config.get("normalize") or config.get("norm_type", "weight_norm") != "weight_norm":
        raise BadCheckpoint(
            "This EnCodec normalizes loudness or uses group norms; only the 32 kHz design is supported."
        )
    return _load(
        tensors, sample_rate=config["sampling_rate"], channels=config["audio_channels"],
        ratios=tuple(config["upsampling_ratios"]), n_filters=config["num_filters"], dim=config["hidden_size"],
        n_residual_layers=config["num_residual_layers"], kernel=config["kernel_size"],
        last_kernel=config["last_kernel_size"], residual_kernel=config["residual_kernel_size"],
        dilation_base=config["dilation_growth_rate"], compress=config["compress"],
        n_lstm_layers=config["num_lstm_layers"], codebook_size=config["codebook_size"], pad_mode=config["pad_mode"],
        has_shortcut=config["use_conv_shortcut"], is_causal=config["use_causal_conv"],
        trim_right_ratio=config["trim_right_ratio"],
    )  # fmt: skip


def encodec_from_audiocraft(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Encodec:
    """Builds EnCodec from audiocraft's parsed `xp.cfg` and `best_state`. Raises `BadCheckpoint` for misfits."""
    seanet, encodec = config["seanet"], config.get("encodec", {})
    decoder = seanet.get("decoder") or {}
    renamed = {}
    for name, tensor in tensors.items():
        for pattern, replacement in _AUDIOCRAFT_NAMES:
            name = pattern.sub(replacement, name)
        renamed[name] = tensor
    return _load(
        renamed, sample_rate=config["sample_rate"], channels=config["channels"], ratios=tuple(seanet["ratios"]),
        n_filters=seanet["n_filters"], dim=seanet["dimension"], n_residual_layers=seanet["n_residual_layers"],
        kernel=seanet["kernel_size"], last_kernel=seanet["last_kernel_size"],
        residual_kernel=seanet["residual_kernel_size"], dilation_base=seanet["dilation_base"],
        compress=seanet["compress"], n_lstm_layers=seanet["lstm"], codebook_size=config["rvq"]["bins"],
        pad_mode=seanet["pad_mode"], has_shortcut=not seanet["true_skip"], is_causal=encodec.get("causal", False),
        trim_right_ratio=decoder.get("trim_right_ratio", 1.0),
    )  # fmt: skip


def _load(tensors: Mapping[str, Tensor], **config: Any) -> Encodec:
    kept = {name: tensor for name, tensor in tensors.items() if not name.endswith(TRAINING_STATISTICS)}
    n_codebooks = sum(name.startswith("quantizer.layers.") for name in kept)
    codec = Encodec(n_codebooks=n_codebooks, **config)
    load_strictly(codec, fold_weight_norm(kept))
    return codec.eval()
