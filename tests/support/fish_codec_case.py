"""The golden case of the fish codec: its folder, configuration and applicable laws."""

import json
from collections.abc import Mapping
from typing import Any

from tests.support import codec_contract
from tests.support.repository import ROOT


def config_from_reference(
    codec: Mapping[str, Any], quantizer: Mapping[str, Any], transformer: Mapping[str, Any], window: int
) -> dict[str, Any]:
    """Maps the published model's argument names to `FishDAC` arguments."""
    return {
        "encoder_dim": codec["encoder_dim"],
        "encoder_rates": codec["encoder_rates"],
        "encoder_transformer_layers": codec["encoder_transformer_layers"],
        "decoder_dim": codec["decoder_dim"],
        "decoder_rates": codec["decoder_rates"],
        "sample_rate_hz": codec["sample_rate"],
        "latent_dim": quantizer["input_dim"],
        "n_residual_codebooks": quantizer["n_codebooks"],
        "residual_codebook_size": quantizer["codebook_size"],
        "semantic_codebook_size": quantizer["semantic_codebook_size"],
        "code_dim": quantizer["codebook_dim"],
        "downsample_factors": quantizer["downsample_factor"],
        "n_layers": transformer["n_layer"],
        "n_heads": transformer["n_head"],
        "head_dim": transformer["head_dim"],
        "hidden_dim": transformer["intermediate_size"],
        "window": window,
    }


GOLDEN = ROOT / "tests" / "golden" / "fish_codec"
META = json.loads((GOLDEN / "meta.json").read_text())
CONFIG = config_from_reference(META["codec"], META["q"], META["tf"], META["window"])
# This codec cannot be trained and clamps codes out of range; its test module runs a shorter memory law.
LAWS = [
    law
    for law in codec_contract.LAWS
    if law
    not in (
        codec_contract.measured_latency_is_the_declared_one,
        codec_contract.codes_stay_in_range,
        codec_contract.memory_stays_flat,
    )
]
