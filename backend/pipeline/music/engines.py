"""The music engines by name, opened when first needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from backend.errors import BadRequest
from backend.pipeline.music.engine import MusicEngine


def _score_engine() -> MusicEngine:
    # Its renderer and mixer load torch, which listing the engines must not.
    from backend.pipeline.music.score_engine import ScoreEngine

    return ScoreEngine()


ENGINES: dict[str, Callable[[], MusicEngine]] = {"score": _score_engine}
# What `auto` takes: the score engine meets tempo and key in every prompt, and needs no download.
AUTO = "score"


def resolve_engine(name: str, known: Iterable[str] = ENGINES) -> str:
    """The engine that `name` stands for. Raises `BadRequest` for an unknown one."""
    name = AUTO if name == "auto" else name
    if name not in known:
        raise BadRequest(f"The engine is '{name[:40]}'; expected auto, {', '.join(known)}.", "engine")
    return name


class MusicEngines:
    """Opens each engine once and keeps it. May be used from several threads."""

    def __init__(self, known: dict[str, Callable[[], MusicEngine]] | None = None) -> None:
        self._known = ENGINES if known is None else known
        self._open: dict[str, MusicEngine] = {}
        self._lock = threading.Lock()

    def get(self, name: str = "auto") -> MusicEngine:
        """Returns the engine `name`. Raises `BadRequest` for an unknown one, and what opening it raises."""
        name = resolve_engine(name, self._known)
        with self._lock:
            if name not in self._open:
                self._open[name] = self._known[name]()
            return self._open[name]
