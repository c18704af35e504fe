"""Who plays what: instruments to roles."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from backend.errors import BadRequest
from backend.music.instruments import INSTRUMENTS
from backend.music.styles import Style

MAX_PARTS = 5
# Families that sound several notes at once.
POLYPHONIC = ("piano", "guitar", "organ", "harp", "mallets", "synth", "strings", "choir", "plucked")
# Instruments that are a whole piece by themselves.
SOLO = (
    "piano",
    "electric piano",
    "harpsichord",
    "nylon guitar",
    "acoustic guitar",
    "harp",
    "organ",
    "accordion",
    "marimba",
)
BASS_HIGHEST_LOW = 43
LOUD_ENERGY = 0.75


def is_polyphonic(name: str) -> bool:
    return INSTRUMENTS[name].family in POLYPHONIC


def assign_roles(
    style: Style, asked: Sequence[str], without: Sequence[str], n_parts: int | None, energy: float, rng: Random
) -> dict[str, str]:
    """Role to instrument, in the order parts are written; every instrument in `asked` gets a role.

    Roles: melody, chords, bass, drums, counter, pad, and "line 1", "line 2" ... for further single voices. Raises
    `BadRequest` where none is left to play, or for two drum kits.
    """
    found = _asked_roles(asked)
    wanted = min(MAX_PARTS, max(len(asked), n_parts or rng.randint(*style.parts)))
    order = ["melody", "chords", "bass", "drums", rng.choice(("pad", "counter", "pad"))]
    if energy > LOUD_ENERGY and style.drums:
        order = ["melody", "chords", "drums", "bass", "pad"]
    names = {
        "melody": style.lead, "counter": style.lead, "chords": style.chords, "bass": style.bass, "drums": style.drums,
        "pad": style.pad,
    }  # fmt: skip
    for role in order:
        if len(found) >= wanted or role in found:
            continue
        allowed = _allowed(names[role], without)
        options = [name for name in allowed if name not in found.values()] or allowed
        if options:
            found[role] = rng.choice(options)
    if not found:
        raise BadRequest("No instrument is left to play: all of this genre are excluded. Exclude fewer.", "without")
    if list(found) == ["melody"] and not asked:
        found = {"melody": rng.choice(_allowed(SOLO, without) or [found["melody"]])}
    return found


def _allowed(names: Sequence[str], without: Sequence[str]) -> list[str]:
    return [name for name in names if name not in without and INSTRUMENTS[name].family not in without]


def _asked_roles(asked: Sequence[str]) -> dict[str, str]:
    kits = [name for name in asked if INSTRUMENTS[name].is_drums]
    if len(kits) > 1:
        raise BadRequest(f"{len(kits)} drum kits were asked for ({', '.join(kits)}); one can play.", "instruments")
    found: dict[str, str] = {"drums": kits[0]} if kits else {}
    rest = [name for name in asked if name not in kits]
    basses = [name for name in rest if INSTRUMENTS[name].family == "bass"]
    if basses:
        found["bass"] = basses[0]
        rest.remove(basses[0])
    # The first named instrument of one voice leads; those of several voices accompany.
    singers = [name for name in rest if not is_polyphonic(name)]
    if rest:
        lead = singers[0] if singers else rest[0]
        found["melody"] = lead
        rest.remove(lead)
    for role in ("chords", "pad"):
        fitting = [name for name in rest if is_polyphonic(name)]
        if fitting:
            found[role] = fitting[0]
            rest.remove(fitting[0])
    low = [name for name in rest if INSTRUMENTS[name].low <= BASS_HIGHEST_LOW]
    if low and "bass" not in found:
        found["bass"] = low[-1]
        rest.remove(low[-1])
    if rest:
        found["counter"] = rest.pop(0)
    return found | {f"line {i}": name for i, name in enumerate(rest, 1)}
