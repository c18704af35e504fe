"""Capacity tables of docs/capacity.md: replicas for a number of users, from measurements and weights."""

from __future__ import annotations

import json
from math import ceil
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results" / "replica.json"
CHECKPOINT = Path(__file__).resolve().parent.parent / "checkpoints" / "phonogram-mini"
USERS = (1, 10, 100, 1000)
# Fraction of time that users listen to new audio. Audiobooks can be generated ahead; live streams must run in real
# time.
AHEAD = {"an audiobook": 1.0}
LIVE = {"a conversation": 0.2, "occasional notifications": 0.01}
# Load at which queues stay short.
HEADROOM = 0.7
FRAMES = (256, 1024, 2048)


def kv_bytes_per_frame(config: dict[str, Any], bytes_per_value: int = 4) -> int:
    """Returns the bytes of keys and values of the slow stack for one position of one row."""
    return 2 * config["n_layer"] * config["n_local_heads"] * config["head_dim"] * bytes_per_value


def n_replicas(n_users: int, listening: float, audio_s_per_s: float) -> int:
    """Returns the replicas that generate audio as fast as `n_users` listen, with headroom."""
    return max(1, ceil(n_users * listening / (audio_s_per_s * HEADROOM)))


def sheet(results: Path = RESULTS, checkpoint: Path = CHECKPOINT) -> str:
    """Returns the tables in Markdown."""
    measured = json.loads(results.read_text(encoding="utf-8"))
    machine, rows = measured["machine"], measured["rows"]
    levels = [row for row in rows if "audio_s_per_s" in row]
    ahead = max(row["audio_s_per_s"] for row in levels)
    live = max((row["audio_s_per_s"] for row in levels if row["rtf_p95"] < 1), default=0.0)
    columns = [(name, share, ahead) for name, share in AHEAD.items()]
    columns += [(name, share, live) for name, share in LIVE.items()]
    busy = " **The machine was busy meanwhile.**" if any(row.get("busy") for row in rows) else ""
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    per_frame = kv_bytes_per_frame(config)
    lines = [
        f"Measured on {machine['cpu']}, {machine['cores']} cores, {machine['system']}, torch {machine['torch']}, "
        f"{machine['accelerator'] or 'no GPU'}, by `python -m benchmarks run replica`.{busy}",
        "",
        "| concurrent requests | seconds of audio per second | TTFA, median | TTFA, p95 | RTF, p95 |",
        "|---|---|---|---|---|",
        *(
            f"| {row['at_once']} | {row['audio_s_per_s']} | {row['first_audio_p50_s']} s | {row['first_audio_p95_s']} s | "
            f"{row['rtf_p95']} |"
            for row in levels
        ),
        "",
        f"Replicas of that machine at {HEADROOM:.0%} load (computed). One generates {ahead} s of audio per second if audio "
        f"can be generated ahead, and {live} s if every stream must run in real time (p95 of the RTF below 1):",
        "",
        "| users | " + " | ".join(name for name, _, _ in columns) + " |",
        "|---|" + "---|" * len(columns),
        *(
            f"| {n} | "
            + " | ".join(str(n_replicas(n, share, rate)) if rate else "-" for _, share, rate in columns)
            + " |"
            for n in USERS
        ),
        "",
        f"Keys and values of one row in float32 (computed from `{checkpoint.name}/config.json`; half of it in bfloat16): "
        f"{per_frame} bytes per frame; "
        + ", ".join(f"{n} frames {n * per_frame / 2**20:.1f} MB" for n in FRAMES)
        + ".",
        "",
        "| format | kbit/s of speech, measured | 1,000 streams |",
        "|---|---|---|",
        *(
            f"| {row['name'].removeprefix('format ')} | {row['kbps']} | {row['kbps'] / 1000:.2f} Gbit/s |"
            for row in rows
            if "kbps" in row
        ),
    ]
    return "\n".join(lines)
