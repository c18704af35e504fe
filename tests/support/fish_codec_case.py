"""The golden case of the fish codec: its folder, configuration and applicable laws."""

import json

from backend.weights.fish_codec import config_from_reference
from tests.support import codec_contract
from tests.support.repository import ROOT

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
