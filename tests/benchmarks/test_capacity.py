"""The capacity tables equal the measurements."""

import json

import torch

from backend.lm.config import DualARConfig
from backend.lm.kv_cache import SlotCache
from benchmarks.capacity import CHECKPOINT, HEADROOM, RESULTS, kv_bytes_per_frame, n_replicas, sheet
from tests.support.repository import ROOT


def test_document_contains_the_current_tables():
    assert sheet() in (ROOT / "docs/capacity.md").read_text(encoding="utf-8")


def test_replica_count_rounds_up():
    assert n_replicas(7, 1.0, 10 / HEADROOM * HEADROOM) == 1
    assert n_replicas(70, 1.0, 10.0) == 10
    assert n_replicas(71, 1.0, 10.0) == 11
    assert n_replicas(1, 0.01, 10.0) == 1


def test_bytes_per_frame_equal_the_cache_size():
    config = json.loads((CHECKPOINT / "config.json").read_text())
    cache = SlotCache(DualARConfig.from_dict(config).slow, 3, 512, torch.float32, "cpu")
    cache.reserve(512)
    assert cache.keys.nbytes + cache.values.nbytes == 3 * 512 * kv_bytes_per_frame(config)


def test_every_level_and_format_was_measured():
    rows = json.loads(RESULTS.read_text())["rows"]
    assert [row["at_once"] for row in rows if "at_once" in row] == [1, 2, 4, 8]
    assert {row["name"] for row in rows if "kbps" in row} >= {"format wav", "format opus", "format mp3"}
