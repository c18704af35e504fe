import pytest

from backend.errors import BadText, LimitExceeded
from backend.text.markup.speech_script import PlainText, Pronunciation
from backend.text.phonemes.lexicon import Lexicon

LINES = """
# words of this house
gif = jif            # a comment
Polish = pole ish
New York = /njuː ˈjɔːɹk/
data = /D EY1 T AH0/ arpabet
new = brand new
""".splitlines()


def said(text, lines=LINES):
    return "".join(s.text if isinstance(s, PlainText) else f"<{s.word}>" for s in Lexicon.parse(lines).apply(text))


def test_words_are_replaced_and_nothing_else():
    assert said("A gif, a giff and (gif).") == "A jif, a giff and (jif)."
    assert said("") == "" and said("none of them") == "none of them"


def test_small_letters_stand_for_every_casing_and_capitals_only_for_themselves():
    assert said("GIF Gif polish Polish POLISH") == "jif jif polish pole ish POLISH"


def test_the_longest_match_wins():
    assert said("in New York, new York, New  York") == "in <New York>, brand new York, <New  York>"
    assert said("New, York") == "brand new, York"


def test_pronunciations_keep_their_word_and_alphabet():
    spans = Lexicon.parse(LINES).apply("the data")
    assert spans == [PlainText("the "), Pronunciation("data", "D EY1 T AH0", "arpabet")]


@pytest.mark.parametrize(
    ("line", "says"),
    [("gif jif", "is not 'word = respelling'"), ("= jif", "is not"), ("gif =", "is not"), ("g/f = jif", "one to 6 words"),
     ("a b c d e f g = x", "one to 6 words"), ("gif = /dʒ", "between two slashes"), ("gif = /qq#/", "slashes"),
     ("gif = /§/", "no sound"), ("gif = /G IH1 F/ klingon", "'klingon'"), ("gif = /G IH F9/ arpabet", "no ARPAbet"),
     ("good = one", "there already")],
)  # fmt: skip
def test_a_refusal_names_the_line(line, says):
    with pytest.raises(BadText) as refusal:
        Lexicon.parse(["good = fine", "", line], "words.txt")
    assert "words.txt, line 3" in str(refusal.value) and says in str(refusal.value)


def test_files_are_read_as_utf_8_and_within_limits(tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes(b"\xef\xbb\xbfgif = jif\r\n")
    assert Lexicon.load(path).apply("gif") == [PlainText("jif")]
    path.write_bytes(b"\xff\xff")
    with pytest.raises(BadText, match="UTF-8"):
        Lexicon.load(path)
    with pytest.raises(LimitExceeded):
        Lexicon.parse(f"w{n} = x" for n in range(10_002))
    path.write_bytes(b"#" * 2_000_001)
    with pytest.raises(LimitExceeded):
        Lexicon.load(path)
