"""Keys, numerals, meters against what every textbook says."""

import pytest

from backend.errors import BadRequest
from backend.music.theory import METERS, PITCH_NAMES, Key, Meter


@pytest.mark.parametrize(
    ("text", "name"),
    [("A minor", "A minor"), ("Bb", "Bb major"), ("f# dorian", "F# dorian"), ("Cm", "C minor"), ("G♭ major", "F# major"),
     ("e flat minor", "Eb minor"), ("D mixolydian", "D mixolydian")],
)  # fmt: skip
def test_keys_are_read(text, name):
    assert Key.parse(text).name == name


@pytest.mark.parametrize("text", ["H major", "C locrian", "", "minor", "C# # minor"])
def test_what_is_no_key_is_rejected(text):
    with pytest.raises(BadRequest, match="expected"):
        Key.parse(text)


@pytest.mark.parametrize(
    ("key", "numeral", "symbol"),
    [("C major", "V7", "G7"), ("C major", "ii7", "Dm7"), ("C major", "V7/V", "D7"), ("C major", "bVII", "Bb"),
     ("A minor", "V", "E"), ("A minor", "VI", "F"), ("A minor", "iio", "Bdim"), ("A minor", "iio7", "Bm7b5"),
     ("D dorian", "IV", "G"), ("G mixolydian", "VII", "F"), ("Bb major", "IVmaj7", "Ebmaj7")],
)  # fmt: skip
def test_numerals_are_chords(key, numeral, symbol):
    assert Key.parse(key).chord(numeral).symbol == symbol


def test_the_scale_over_a_dominant_in_minor_has_the_leading_tone():
    key = Key.parse("A minor")
    names = [PITCH_NAMES[tone] for tone in key.scale_over(key.chord("V7"))]
    assert names == ["A", "B", "C", "D", "E", "F", "Ab"]
    assert key.scale_over(key.chord("i")) == key.scale
    major = Key.parse("C major")
    altered = {"V7/V": "F#", "bVII": "Bb", "I7": "Bb", "IV7": "Eb", "V7/ii": "C#"}
    for numeral, name in altered.items():
        names = [PITCH_NAMES[tone] for tone in major.scale_over(major.chord(numeral))]
        assert name in names and len(set(names)) == 7, numeral
        assert [n[0] for n in names] == ["C", "D", "E", "F", "G", "A", "B"]


def test_beats_of_meters():
    assert [(m.name, m.n_beats, m.beat_quarters) for m in METERS] == [
        ("4/4", 4, 1.0), ("3/4", 3, 1.0), ("6/8", 2, 1.5), ("2/4", 2, 1.0), ("5/4", 5, 1.0), ("12/8", 4, 1.5)]  # fmt: skip
    with pytest.raises(BadRequest, match="4/4"):
        Meter.parse("7/8")
