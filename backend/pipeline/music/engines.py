"""The music engines by name, and which one `auto` takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backend.errors import BadRequest
from backend.pipeline.music.engine import MusicEngine

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """`is_available`: whether its files and packages are here, without loading them."""

    summary: str
    is_available: Callable[[], bool]
    load: Callable[[], MusicEngine]


def _has_score() -> bool:
    from importlib.util import find_spec

    from backend.music.rendering import SHIPPED

    return SHIPPED.is_file() and find_spec("midirenderer") is not None


def _score() -> MusicEngine:
    from backend.pipeline.music.score_engine import ScoreEngine

    return ScoreEngine()


ENGINES: dict[str, EngineEntry] = {
    "score": EngineEntry(
        "Composes by rules and plays a soundfont: exact tempo and key, stems, MIDI.", _has_score, _score
    ),
}
# The first one that is available; docs/music.md says why.
AUTO_ORDER = ("score",)


def engine_names() -> tuple[str, ...]:
    return (AUTO, *ENGINES)


def resolve_engine(name: str) -> str:
    """The engine that `name` stands for. Raises `BadRequest` for an unknown one; `auto` takes one that is here."""
    if name == AUTO:
        return next((one for one in AUTO_ORDER if ENGINES[one].is_available()), AUTO_ORDER[-1])
    if name not in ENGINES:
        raise BadRequest(f"The engine is '{name[:40]}'; expected one of {', '.join(engine_names())}.", "engine")
    return name


def load_engine(name: str = AUTO) -> MusicEngine:
    """Loads an engine. Raises `BadRequest` for an unknown name, and what the engine raises if it is not installed."""
    return ENGINES[resolve_engine(name)].load()
