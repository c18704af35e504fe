"""Held-out speakers and files, which training must not use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from backend.data.manifest import Clip


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Patterns (with `*` and `?`) of held-out speakers, clip ids and file names.

    A mixed speaker such as `ann:0.6+bob:0.4` is held out if any of its parts is.
    """

    speakers: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def covers(self, clip: Clip) -> bool:
        parts = [clip.speaker, *(re.sub(r":[\d.]+$", "", part) for part in clip.speaker.split("+"))]
        if any(fnmatchcase(part, pattern) for part in parts for pattern in self.speakers):
            return True
        return any(fnmatchcase(name, pattern) for name in (clip.id, clip.path.name) for pattern in self.files)

    def split(self, clips: list[Clip]) -> tuple[list[Clip], list[Clip]]:
        """Returns the training clips and the held-out clips."""
        kept = [clip for clip in clips if not self.covers(clip)]
        out = [clip for clip in clips if self.covers(clip)]
        return kept, out
