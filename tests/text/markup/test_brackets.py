import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import BadText
from backend.text.markup.brackets import parse_markup, write_markup
from backend.text.markup.speech_script import Pause, PlainText, Pronunciation, Say, Script

PLAIN = st.text(alphabet="ab \\[]()/:.!é你\n", min_size=1, max_size=20)
SPANS = st.one_of(
    PLAIN.map(PlainText),
    st.builds(Pronunciation, st.text(alphabet="abc ", min_size=1, max_size=9), st.text(alphabet="əɪA1 ", min_size=1, max_size=9),
              st.sampled_from(["ipa", "arpabet", "symbols"])),
)  # fmt: skip
PIECES = st.one_of(
    st.builds(Say, st.lists(SPANS, min_size=1, max_size=3).map(tuple), st.sampled_from([None, "anna", "Bob 2"]),
              st.sampled_from([1.0, 0.5, 1.25]), st.sampled_from([0.0, 2.0, -0.5])),
    st.integers(1, 60_000).map(lambda ms: Pause(ms / 1000)),
)  # fmt: skip


@given(pieces=st.lists(PIECES, min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_markup_reads_back_what_it_wrote(pieces):
    first = write_markup(Script((*pieces, Say((PlainText("end"),)))))
    script = parse_markup(first)
    assert write_markup(script) == first
    assert script.text == Script(tuple(pieces)).text + "end"
    assert [p for p in script.pieces if isinstance(p, Pause)] == [p for p in pieces if isinstance(p, Pause)]
    said = [(p.voice, p.speed, p.pitch, p.text) for p in script.pieces if isinstance(p, Say)]
    wanted = [(p.voice, p.speed, p.pitch, p.text) for p in [*pieces, Say((PlainText("end"),))] if isinstance(p, Say)]
    assert "".join(f"{manner}{c}" for *manner, text in said for c in text) == "".join(
        f"{manner}{c}" for *manner, text in wanted for c in text
    )
    assert not script.ignored


def test_each_directive():
    script = parse_markup(
        "One [pause:300ms]two [speed:1.5]fast [voice:anna]she [voice:][speed:1][tomato](/təˈmɑːtoʊ/)."
    )
    assert script.pieces == (
        Say((PlainText("One "),)), Pause(0.3), Say((PlainText("two "),)), Say((PlainText("fast "),), None, 1.5),
        Say((PlainText("she "),), "anna", 1.5), Say((Pronunciation("tomato", "təˈmɑːtoʊ"), PlainText("."))),
    )  # fmt: skip


def test_pitch_in_semitones():
    script = parse_markup("One [pitch:+2]two [pitch:-1.5][speed:2]three [pitch:0][speed:1]four")
    assert script.pieces == (
        Say((PlainText("One "),)), Say((PlainText("two "),), pitch=2.0), Say((PlainText("three "),), None, 2.0, -1.5),
        Say((PlainText("four"),)),
    )  # fmt: skip


def test_markers_of_the_model_are_not_ours():
    script = parse_markup("[laughing] so [short pause] [mood:odd] fine")
    assert script.text == "[laughing] so [short pause] [mood:odd] fine"
    assert len(script.ignored) == 1 and "character 28" in script.ignored[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [("a [pause:long]", "'[pause:long]' at character 2 has the duration"), ("a [pause:99s]", "lasts 0 to 60"),
     ("a [pause:1]", "0.5s or 300ms"), ("a [speed:9]", "0.25 to 4"), ("a [speed:-1]", "expected a number"),
     ("a [pitch:high]", "expected semitones"), ("a [pitch:12.5]", "-12 to 12"),
     ("a [b](/b/xyz)", "the alphabet 'xyz'"), ("[pause:1s]", "nothing to speak"), ("", "nothing to speak")],
)  # fmt: skip
def test_values_that_cannot_be_are_refused_by_place(text, says):
    with pytest.raises(BadText) as refusal:
        parse_markup(text)
    assert says in str(refusal.value)


def test_pieces_without_end_are_refused():
    with pytest.raises(BadText, match="in parts"):
        parse_markup("a[pause:1s]" * 20_000)
