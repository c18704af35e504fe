"""How many replicas for how many users: the sheet of docs/capacity.md, from what was measured and from the weights."""

from __future__ import annotations

import json
from math import ceil
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results" / "replica.json"
CHECKPOINT = Path(__file__).resolve().parent.parent / "checkpoints" / "phonogram-mini"
USERS = (1, 10, 100, 1000)
# Shares of their time that users hear fresh sound. A book may be made ahead; what is live must keep up with its listener.
AHEAD = {"a book read aloud": 1.0}
LIVE = {"a conversation": 0.2, "a notice now and then": 0.01}
# Load that a queue stays short at.
HEADROOM = 0.7
FRAMES = (256, 1024, 2048)


def kv_bytes_per_frame(config: dict[str, Any], bytes_per_value: int = 4) -> int:
    """Keys and values of the slow stack for one position of one row."""
    return 2 * config["n_layer"] * config["n_local_heads"] * config["head_dim"] * bytes_per_value


def n_replicas(n_users: int, listening: float, audio_s_per_s: float) -> int:
    """Replicas that make sound as fast as `n_users` hear it, with headroom."""
    return max(1, ceil(n_users * listening / (audio_s_per_s * HEADROOM)))


def sheet(results: Path = RESULTS, checkpoint: Path = CHECKPOINT) -> str:
    """The tables, in Markdown."""
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
        f"{machine['accelerator'] or 'no card'}, by `python -m benchmarks run replica`.{busy}",
        "",
        "| at once | seconds of sound per second | first sound, median | first sound, p95 | real-time factor, p95 |",
        "|---|---|---|---|---|",
        *(
            f"| {row['at_once']} | {row['audio_s_per_s']} | {row['first_audio_p50_s']} s | {row['first_audio_p95_s']} s | "
            f"{row['rtf_p95']} |"
            for row in levels
        ),
        "",
        f"Replicas of that machine at {HEADROOM:.0%} load (computed). One makes {ahead} s of sound per second where sound "
        f"may be made ahead, and {live} s where every stream keeps up with its listener (p95 of its real-time factor "
        "below 1):",
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
        f"{per_frame} bytes a frame; " + ", ".join(f"{n} frames {n * per_frame / 2**20:.1f} MB" for n in FRAMES) + ".",
        "",
        "| format | kbit/s of speech, measured | 1,000 listeners |",
        "|---|---|---|",
        *(
            f"| {row['name'].removeprefix('format ')} | {row['kbps']} | {row['kbps'] / 1000:.2f} Gbit/s |"
            for row in rows
            if "kbps" in row
        ),
    ]
    return "\n".join(lines)
