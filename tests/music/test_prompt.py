"""Prompts to requests: a table of what is understood, and of what must not be."""

import pytest

from backend.errors import BadRequest, LimitExceeded
from backend.music.prompt import parse_prompt
from backend.music.vocabulary import GENRE_WORDS, INSTRUMENT_WORDS, MOOD_WORDS

UNDERSTOOD = {
    "Upbeat jazz with saxophone": {"genre": "jazz", "instruments": ("saxophone",), "tempo_range": (116, 150), "mood": "energetic"},
    "slow sad piano in A minor, 72 bpm, waltz": {
        "key": "A minor", "tempo_bpm": 72, "meter": "3/4", "mood": "sad", "instruments": ("piano",)},
    "Techno in F# minor at 128 BPM": {"genre": "electronic", "key": "F# minor", "tempo_bpm": 128},
    "an epic orchestral track in d minor": {"genre": "orchestral", "mood": "epic", "key": "D minor"},
    "a calm tune in Bb": {"mood": "calm", "key": "Bb major"},
    "lullaby in the key of G, harp and flute": {"key": "G major", "instruments": ("harp", "flute")},
    "Am ballad": {"key": None},
    "ballad in Am with strings": {"key": "A minor", "instruments": ("strings",)},
    "something in E flat major": {"key": "Eb major"},
    "folk in D dorian, 6/8": {"key": "D dorian", "meter": "6/8", "genre": "folk"},
    "rock with guitar and bass": {"genre": "rock", "instruments": ("distorted guitar", "electric bass")},
    "jazz with guitar and bass": {"genre": "jazz", "instruments": ("jazz guitar", "double bass")},
    "electronic music with drums": {"genre": "electronic", "instruments": ("electronic drums",)},
    "pop without drums": {"genre": "pop", "instruments": (), "without": ("drums", "electronic drums", "brush drums")},
    "rock, no guitar or organ, with piano": {"instruments": ("piano",)},
    "a 45 second bossa nova": {"genre": "latin", "duration_s": 45.0},
    "2 minutes of ambient": {"genre": "ambient", "duration_s": 120.0},
    "tempo 96, funk": {"tempo_bpm": 96, "genre": "funk"},
    "lo-fi beats with rhodes": {"genre": "lofi", "instruments": ("electronic drums", "electric piano")},
    "jazz trio": {"genre": "jazz", "n_parts": 3},
    "solo piano, romantic": {"n_parts": 1, "instruments": ("piano",), "mood": "romantic"},
    "swung country": {"swing": 1.0, "genre": "country"},
    "fast music in a minor key": {"mode": "minor", "key": None, "tempo_range": (132, 164)},
    "very slow strings": {"tempo_range": (60, 66), "instruments": ("strings",)},
    "allegro in C major": {"tempo_range": (120, 152), "key": "C major"},
    "string quartet in 3/4": {"instruments": ("violin", "strings", "cello"), "meter": "3/4"},
    "music in 12/8 time": {"meter": "12/8"},
    "rock with acoustic guitar": {"genre": "rock", "instruments": ("acoustic guitar",)},
    "techno with an 808 and drums": {"genre": "electronic", "instruments": ("electronic drums",)},
    "bass drum and trumpets": {"instruments": ("drums", "trumpet")},
}  # fmt: skip
# Words that look like music and are not: nothing is set, and the words are reported.
NOT_TRIGGERED = {
    "a rocking chair": ("rocking", "chair"),
    "organic food": ("organic", "food"),
    "popcorn and hornets": ("popcorn", "hornets"),
    "music of the 90s": ("90s",),
    "open 24/7": ("open", "24/7"),
    "a minor issue": ("minor", "issue"),
    "harpers and pianists": ("harpers", "pianists"),
    "bpm": (),
    "the key to my house": ("house",),
    "jazzercise": ("jazzercise",),
    "I go to C": ("go", "C"),
    "bassoonist": ("bassoonist",),
}
NOTHING = {"tempo_bpm": None, "tempo_range": None, "key": None, "mode": None, "meter": None, "genre": None, "mood": None,
           "instruments": (), "without": (), "n_parts": None, "swing": None, "duration_s": None}  # fmt: skip


def value(parsed, name):
    found = getattr(parsed, name)
    return found.name if hasattr(found, "name") else found


@pytest.mark.parametrize("text", UNDERSTOOD)
def test_prompt_is_understood(text):
    parsed = parse_prompt(text)
    assert {name: value(parsed, name) for name in UNDERSTOOD[text]} == UNDERSTOOD[text]


@pytest.mark.parametrize("text", NOT_TRIGGERED)
def test_words_that_only_look_like_music_set_nothing(text):
    parsed = parse_prompt(text)
    assert {name: value(parsed, name) for name in NOTHING} == NOTHING
    assert parsed.not_understood == NOT_TRIGGERED[text]


def test_what_was_not_understood_is_reported_in_order():
    parsed = parse_prompt("Purple jazz with theremin at 240 bpm in 7/8, 128th style")
    assert parsed.genre == "jazz" and parsed.tempo_bpm is None and parsed.meter is None
    assert parsed.not_understood == ("240 bpm", "7/8", "Purple", "theremin", "128th")


def test_sixth_instrument_is_reported():
    parsed = parse_prompt("flute, oboe, clarinet, violin, cello and tuba")
    assert len(parsed.instruments) == 5
    assert parsed.not_understood == ("tuba",)


@pytest.mark.parametrize(
    "word", [*GENRE_WORDS, *INSTRUMENT_WORDS, *(w for words in MOOD_WORDS.values() for w in words)]
)
def test_every_word_of_the_vocabulary_is_understood_alone(word):
    parsed = parse_prompt(word)
    assert parsed.not_understood == ()
    assert parsed.genre or parsed.instruments or parsed.mood


def test_empty_and_overlong_prompts_are_rejected():
    with pytest.raises(BadRequest, match="empty"):
        parse_prompt("  ")
    with pytest.raises(LimitExceeded, match="limit"):
        parse_prompt("x" * 1001)
