"""Registry of baseline codecs. Each is available only if its program or files are installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from backend.errors import BadSettings, NotAvailable
from backend.evaluation.baselines.codec2 import Codec2
from backend.evaluation.baselines.libav import Libav, Vorbis
from backend.evaluation.baselines.lyra import Lyra
from backend.evaluation.baselines.opus import Opus
from backend.evaluation.codec.systems import Original, System

BASELINES: dict[str, Callable[[Path | None], System]] = {
    "original": lambda folder: Original(),
    "opus-6": lambda folder: Opus(6),
    "opus-9": lambda folder: Opus(9),
    "opus-12": lambda folder: Opus(12),
    "opus-16": lambda folder: Opus(16),
    "opus-24": lambda folder: Opus(24),
    "mp3-16": lambda folder: Libav("mp3", 16),
    "mp3-32": lambda folder: Libav("mp3", 32),
    "aac-16": lambda folder: Libav("aac", 16),
    "aac-32": lambda folder: Libav("aac", 32),
    "vorbis-lowest": lambda folder: Vorbis(),
    "codec2-1200": lambda folder: Codec2(1200),
    "codec2-3200": lambda folder: Codec2(3200),
    "lyra-3.2": lambda folder: _lyra(folder, 3.2),
    "lyra-6": lambda folder: _lyra(folder, 6.0),
    "lyra-9.2": lambda folder: _lyra(folder, 9.2),
}
DEFAULT_BASELINES = ("original", "opus-6", "opus-12", "codec2-1200", "codec2-3200", "lyra-3.2", "lyra-6")

DEFAULT_SOUND_BASELINES = ("opus-6", "opus-12")


def open_baselines(names: tuple[str, ...], lyra: Path | None) -> tuple[list[System], dict[str, str]]:
    """Returns the available baselines, and for each other one the reason.

    Raises `BadSettings` for an unknown name.
    """
    unknown = sorted(set(names) - set(BASELINES))
    if unknown:
        raise BadSettings(
            f"Unknown baselines {', '.join(unknown)}; known are {', '.join(BASELINES)}. Choose from these."
        )
    systems, absent = [], {}
    for name in dict.fromkeys(names):
        try:
            systems.append(BASELINES[name](lyra))
        except NotAvailable as error:
            absent[name] = str(error)
    return systems, absent


def _lyra(folder: Path | None, rate_kbps: float) -> System:
    if folder is None:
        raise NotAvailable("Lyra v2 needs the folder of its files. Pass it with --lyra.")
    return Lyra(folder, rate_kbps)
