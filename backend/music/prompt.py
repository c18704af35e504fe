"""Plain English to what a piece must be, with every word that was not understood."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from backend.errors import BadRequest, LimitExceeded
from backend.music import vocabulary
from backend.music.composer import MAX_DURATION_S, MAX_PARTS, MAX_TEMPO_BPM, MIN_DURATION_S, MIN_TEMPO_BPM
from backend.music.instruments import INSTRUMENTS
from backend.music.theory import METERS, Key, Meter

MAX_CHARACTERS = 1000
MODES = "major|minor|maj|min|dorian|mixolydian"
NOTE = r"[A-G](?:\s?-?(?:sharp|flat)|[#b♯♭])?"
# "in a minor key" names no note: that reading comes first.
MODE_ONLY = re.compile(r"\b(?:in\s+)?(?:an?\s+)?(major|minor|dorian|mixolydian)\s+(?:key|mode|scale|tonality)\b", re.I)
KEYS = (
    re.compile(rf"\b(?:(?:in|key)\s+(?:the\s+)?(?:key\s+)?(?:of\s+)?|key\s*[:=]\s*)?({NOTE})[\s-]*({MODES})\b"),
    re.compile(rf"\b(?:in\s+(?:the\s+key\s+of\s+)?|key\s+of\s+|key\s*[:=]\s*)({NOTE})[\s-]*({MODES})\b", re.I),
    re.compile(r"\b(?:in|key\s+of|key\s*[:=])\s*([A-G][#b♯♭]?)(m)\b"),
    re.compile(
        rf"\b(?:in\s+the\s+key\s+of|key\s+of|key\s*[:=]|in)\s+({NOTE})(?=\s*(?:$|[,.;!]|\s(?:at|with|for|and)\b))()"
    ),
)
TEMPO = re.compile(
    r"\b(\d{2,3})\s*-?(?:bpm\b|beats\s+(?:per|a)\s+minute\b)"
    r"|\b(?:tempo(?:\s+of)?|bpm)\s*[:=]?\s*(\d{2,3})\b",
    re.I,
)
METER = re.compile(r"(?<![\d/])(\d{1,2})\s?/\s?([248])(?:\s+time|\s+meter)?(?![\d/])", re.I)
DURATION = re.compile(r"\b(\d+(?:\.\d+)?)(?:[\s-]*(seconds?|secs?|minutes?|mins?)|[\s-](s))\b(?:\s+long\b)?", re.I)
WITHOUT = re.compile(r"\b(?:without|no|minus|excluding)\s+(?:any\s+|the\s+)?", re.I)
WORD = re.compile(r"[\w♯♭#'/-]+")


@dataclass(frozen=True)
class ParsedPrompt:
    """What a text asks for. `tempo_range`: beats a minute where words but no number gave the tempo.

    `not_understood`: the words that changed nothing, in order.
    """

    tempo_bpm: int | None = None
    tempo_range: tuple[int, int] | None = None
    key: Key | None = None
    mode: str | None = None
    meter: Meter | None = None
    genre: str | None = None
    mood: str | None = None
    instruments: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    n_parts: int | None = None
    swing: float | None = None
    duration_s: float | None = None
    not_understood: tuple[str, ...] = field(default=())


def parse_prompt(text: str) -> ParsedPrompt:
    """Raises `LimitExceeded` for a text of more than 1,000 characters and `BadRequest` for an empty one."""
    if len(text) > MAX_CHARACTERS:
        raise LimitExceeded(f"The prompt has {len(text)} characters; the limit is {MAX_CHARACTERS}. Shorten it.")
    if not text.strip():
        raise BadRequest("The prompt is empty; expected words such as 'calm piano in A minor'. Write some.", "prompt")
    return _Reading(text).parsed()


class _Reading:
    """A text that is used up piece by piece; what is left at the end was not understood."""

    def __init__(self, text: str):
        self.left = text
        self.refused: list[str] = []

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """The first match, blanked out of the text."""
        found = pattern.search(self.left)
        if found:
            self.left = self.left[: found.start()] + " " * len(found.group()) + self.left[found.end() :]
        return found

    def take_words(self, table: dict[str, object] | frozenset[str], start: int = 0) -> list[tuple[int, str]]:
        """Every phrase of `table` from `start` on with its place, longest phrases first, blanked out."""
        found = []
        for phrase in sorted(table, key=len, reverse=True):
            pattern = re.compile(rf"(?<![\w-]){re.escape(phrase)}(?:e?s)?(?![\w-])", re.I)
            place = pattern.search(self.left, start)
            while place:
                found.append((place.start(), phrase))
                self.left = self.left[: place.start()] + " " * len(place.group()) + self.left[place.end() :]
                place = pattern.search(self.left, start)
        return sorted(found)

    def parsed(self) -> ParsedPrompt:
        duration_s = self._duration()
        tempo_bpm = self._tempo()
        meter = self._meter()
        key, mode = self._key()
        without_words = self._without()
        # "acoustic guitar" is an instrument, "acoustic" alone a genre.
        phrases = self.take_words({w: 1 for w in vocabulary.INSTRUMENT_WORDS if " " in w})
        genres = self._genres()
        genre = genres[0] if genres else None
        instruments = self._instruments(phrases, genre)
        n_parts = next((vocabulary.ENSEMBLES[word] for _, word in self.take_words(dict(vocabulary.ENSEMBLES))), None)
        swing = self._swing()
        tempo_range, mood = self._tempo_and_mood()
        if n_parts is not None:
            n_parts = max(n_parts, len(instruments))
        without = tuple(dict.fromkeys(name for word in without_words for name in _excluded(word)))
        return ParsedPrompt(
            tempo_bpm, None if tempo_bpm is not None else tempo_range, key, mode, meter, genre, mood,
            tuple(name for name in instruments if name not in without), without, n_parts, swing, duration_s, self._rest(),
        )  # fmt: skip

    def _duration(self) -> float | None:
        found = self.take(DURATION)
        if not found:
            return None
        seconds = float(found.group(1)) * (60 if (found.group(2) or "").lower().startswith("m") else 1)
        if MIN_DURATION_S <= seconds <= MAX_DURATION_S:
            return seconds
        self.refused.append(found.group().strip())
        return None

    def _tempo(self) -> int | None:
        found = self.take(TEMPO)
        if not found:
            return None
        bpm = int(found.group(1) or found.group(2))
        if MIN_TEMPO_BPM <= bpm <= MAX_TEMPO_BPM:
            return bpm
        self.refused.append(found.group().strip())
        return None

    def _meter(self) -> Meter | None:
        found = self.take(METER)
        if found:
            name = f"{found.group(1)}/{found.group(2)}"
            known = {meter.name: meter for meter in METERS}
            if name in known:
                return known[name]
            self.refused.append(found.group().strip())
        for word, name in vocabulary.METER_WORDS.items():
            # The word stays: a jig and a minuet are genres too, and "waltz" is dropped with the fillers.
            if re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", self.left, re.I):
                return Meter.parse(name)
        return None

    def _key(self) -> tuple[Key | None, str | None]:
        found = self.take(MODE_ONLY)
        if found:
            return None, found.group(1).lower()
        for pattern in KEYS:
            place = pattern.search(self.left)
            if place:
                self.take(pattern)
                note = re.sub(
                    r"\s?-?(sharp|flat)",
                    lambda m: {"sharp": "#", "flat": "b"}[m.group(1).lower()],
                    place.group(1),
                    flags=re.I,
                )
                return Key.parse(f"{note} {place.group(2)}".strip()), None
        return None, None

    def _without(self) -> list[str]:
        words = []
        found = self.take(WITHOUT)
        while found:
            start, end = found.end(), re.compile(r"[,.;]|\b(?:but|with|in|at)\b").search(self.left, found.end())
            stop = end.start() if end else len(self.left)
            head, clause, tail = self.left[:start], self.left[start:stop], self.left[stop:]
            reading = _Reading(clause)
            words += [word for _, word in reading.take_words(dict(vocabulary.INSTRUMENT_WORDS))]
            self.left = head + reading.left + tail
            found = self.take(WITHOUT)
        return words

    def _genres(self) -> list[str]:
        return [vocabulary.GENRE_WORDS[word] for _, word in self.take_words(dict(vocabulary.GENRE_WORDS))]

    def _instruments(self, phrases: list[tuple[int, str]], genre: str | None) -> tuple[str, ...]:
        names: list[str] = []
        for _, word in sorted([*phrases, *self.take_words(dict(vocabulary.INSTRUMENT_WORDS))]):
            for name in vocabulary.INSTRUMENT_WORDS[word]:
                one = _by_genre(name, genre)
                if one in names:
                    continue
                is_second_kit = INSTRUMENTS[one].is_drums and any(INSTRUMENTS[n].is_drums for n in names)
                if len(names) == MAX_PARTS or is_second_kit:
                    self.refused.append(word)
                    break
                names.append(one)
        return tuple(names)

    def _swing(self) -> float | None:
        words = [word for _, word in self.take_words({"swung": 1, "swinging": 1, "straight": 0, "shuffle": 1})]
        return None if not words else 0.0 if words[0] == "straight" else 1.0

    def _tempo_and_mood(self) -> tuple[tuple[int, int] | None, str | None]:
        by_word = {word: mood for mood, words in vocabulary.MOOD_WORDS.items() for word in words}
        # A word may say both how fast and how it feels.
        text = self.left
        tempos = [vocabulary.TEMPO_WORDS[word] for _, word in self.take_words(dict(vocabulary.TEMPO_WORDS))]
        after, self.left = self.left, text
        moods = [by_word[word] for _, word in self.take_words(dict(by_word))]
        self.left = "".join(a if a == b else " " for a, b in zip(after, self.left, strict=True))
        return (tempos[0] if tempos else None), (moods[0] if moods else None)

    def _rest(self) -> tuple[str, ...]:
        for word in vocabulary.METER_WORDS:
            self.take(re.compile(rf"(?<![\w-]){re.escape(word)}(?:e?s)?(?![\w-])", re.I))
        words = [word.strip("-'/") for word in WORD.findall(self.left)]
        return tuple(self.refused + [word for word in words if word and word.lower() not in vocabulary.FILLER])


def _by_genre(name: str, genre: str | None) -> str:
    if name == vocabulary.GUITAR:
        return vocabulary.GUITAR_OF.get(genre or "", "acoustic guitar")
    if name == vocabulary.BASS:
        return vocabulary.BASS_OF.get(genre or "", "electric bass")
    if name == vocabulary.DRUMS:
        return vocabulary.DRUMS_OF.get(genre or "", "drums")
    return name


def _excluded(word: str) -> tuple[str, ...]:
    """A kind excludes all of it: no guitar means no guitar of any make."""
    names = vocabulary.INSTRUMENT_WORDS[word]
    found: list[str] = []
    for name in names:
        if name in (vocabulary.GUITAR, vocabulary.BASS, vocabulary.DRUMS):
            found += [one.name for one in INSTRUMENTS.values() if one.family == name and one.name != "timpani"]
        else:
            found.append(name)
    return tuple(found)
