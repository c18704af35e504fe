import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import BadText
from backend.text.markup.brackets import parse_markup
from backend.text.markup.speech_script import Pause, PlainText, Pronunciation, Script, SpokenText

PLAIN = st.text(alphabet="ab \\[]()/:.!é你\n", min_size=1, max_size=20)
SPANS = st.one_of(
    PLAIN.map(PlainText),
    st.builds(Pronunciation, st.text(alphabet="abc ", min_size=1, max_size=9), st.text(alphabet="əɪA1 ", min_size=1, max_size=9),
              st.sampled_from(["ipa", "arpabet", "symbols"])),
)  # fmt: skip
PIECES = st.one_of(
    st.builds(SpokenText, st.lists(SPANS, min_size=1, max_size=3).map(tuple), st.sampled_from([None, "anna", "Bob 2"]),
              st.sampled_from([1.0, 0.5, 1.25]), st.sampled_from([0.0, 2.0, -0.5])),
    st.integers(1, 60_000).map(lambda ms: Pause(ms / 1000)),
)  # fmt: skip


def write_markup(script):
    """Render a script as markup; final text loses that flag."""
    parts = []
    voice, speed, pitch = None, 1.0, 0.0
    for piece in script.pieces:
        if isinstance(piece, Pause):
            parts.append(f"[pause:{_number(piece.duration_s)}s]")
            continue
        if piece.voice != voice:
            parts.append(f"[voice:{piece.voice or ''}]")
        if piece.speed != speed:
            parts.append(f"[speed:{_number(piece.speed)}]")
        if piece.pitch != pitch:
            parts.append(f"[pitch:{_number(piece.pitch)}]")
        voice, speed, pitch = piece.voice, piece.speed, piece.pitch
        for span in piece.spans:
            if isinstance(span, PlainText):
                parts.append(re.sub(r"([\\\[\]])", r"\\\1", span.text))
            else:
                alphabet = "" if span.alphabet == "ipa" else span.alphabet
                parts.append(f"[{span.word}](/{span.phonemes}/{alphabet})")
    return "".join(parts)


def _number(value):
    return f"{value:.6f}".rstrip("0").rstrip(".")


@given(pieces=st.lists(PIECES, min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_markup_round_trips(pieces):
    first = write_markup(Script((*pieces, SpokenText((PlainText("end"),)))))
    script = parse_markup(first)
    assert write_markup(script) == first
    assert script.text == Script(tuple(pieces)).text + "end"
    assert [p for p in script.pieces if isinstance(p, Pause)] == [p for p in pieces if isinstance(p, Pause)]
    actual = [(p.voice, p.speed, p.pitch, p.text) for p in script.pieces if isinstance(p, SpokenText)]
    expected = [
        (p.voice, p.speed, p.pitch, p.text)
        for p in [*pieces, SpokenText((PlainText("end"),))]
        if isinstance(p, SpokenText)
    ]
    assert "".join(f"{manner}{c}" for *manner, text in actual for c in text) == "".join(
        f"{manner}{c}" for *manner, text in expected for c in text
    )
    assert not script.ignored


def test_all_directives_are_parsed():
    script = parse_markup(
        "One [pause:300ms]two [speed:1.5]fast [voice:anna]she [voice:][speed:1][tomato](/təˈmɑːtoʊ/)."
    )
    assert script.pieces == (
        SpokenText((PlainText("One "),)), Pause(0.3), SpokenText((PlainText("two "),)), SpokenText((PlainText("fast "),), None, 1.5),
        SpokenText((PlainText("she "),), "anna", 1.5), SpokenText((Pronunciation("tomato", "təˈmɑːtoʊ"), PlainText("."))),
    )  # fmt: skip


def test_pitch_is_in_semitones():
    script = parse_markup("One [pitch:+2]two [pitch:-1.5][speed:2]three [pitch:0][speed:1]four")
    assert script.pieces == (
        SpokenText((PlainText("One "),)), SpokenText((PlainText("two "),), pitch=2.0),
        SpokenText((PlainText("three "),), None, 2.0, -1.5), SpokenText((PlainText("four"),)),
    )  # fmt: skip


def test_emotion_markers_are_not_markup():
    script = parse_markup("[laughing] so [short pause] [mood:odd] fine")
    assert script.text == "[laughing] so [short pause] [mood:odd] fine"
    assert len(script.ignored) == 1 and "character 28" in script.ignored[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [("a [pause:long]", "'[pause:long]' at character 2 has the duration"), ("a [pause:99s]", "expected 0 to 60"),
     ("a [pause:1]", "0.5s or 300ms"), ("a [speed:9]", "0.25 to 4"), ("a [speed:-1]", "expected a number"),
     ("a [pitch:high]", "expected semitones"), ("a [pitch:12.5]", "-12 to 12"),
     ("a [b](/b/xyz)", "the alphabet 'xyz'"), ("[pause:1s]", "no words"), ("", "no words")],
)  # fmt: skip
def test_invalid_values_are_rejected_with_their_position(text, message):
    with pytest.raises(BadText) as error:
        parse_markup(text)
    assert message in str(error.value)


def test_too_many_pieces_are_rejected():
    with pytest.raises(BadText, match="in parts"):
        parse_markup("a[pause:1s]" * 20_000)
