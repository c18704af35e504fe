import pytest

from backend.errors import BadText, LimitExceeded
from backend.text.markup.speech_script import PlainText, Pronunciation
from backend.text.phonemes.lexicon import Lexicon

LINES = """
# example words
gif = jif            # a comment
Polish = pole ish
New York = /njuː ˈjɔːɹk/
data = /D EY1 T AH0/ arpabet
new = brand new
""".splitlines()


def applied(text, lines=LINES):
    return "".join(s.text if isinstance(s, PlainText) else f"<{s.word}>" for s in Lexicon.parse(lines).apply(text))


def test_only_lexicon_words_are_replaced():
    assert applied("A gif, a giff and (gif).") == "A jif, a giff and (jif)."
    assert applied("") == "" and applied("none of them") == "none of them"


def test_lower_case_entries_match_any_casing():
    assert applied("GIF Gif polish Polish POLISH") == "jif jif polish pole ish POLISH"


def test_the_longest_match_wins():
    assert applied("in New York, new York, New  York") == "in <New York>, brand new York, <New  York>"
    assert applied("New, York") == "brand new, York"


def test_pronunciation_spans_keep_word_and_alphabet():
    spans = Lexicon.parse(LINES).apply("the data")
    assert spans == [PlainText("the "), Pronunciation("data", "D EY1 T AH0", "arpabet")]


@pytest.mark.parametrize(
    ("line", "message"),
    [("gif jif", "is not 'word = respelling'"), ("= jif", "is not"), ("gif =", "is not"), ("g/f = jif", "one to 6 words"),
     ("a b c d e f g = x", "one to 6 words"), ("gif = /dʒ", "between two slashes"), ("gif = /qq#/", "slashes"),
     ("gif = /§/", "not English IPA"), ("gif = /G IH1 F/ klingon", "'klingon'"), ("gif = /G IH F9/ arpabet", "not an ARPAbet"),
     ("good = one", "duplicate entry")],
)  # fmt: skip
def test_lexicon_errors_name_the_line(line, message):
    with pytest.raises(BadText) as error:
        Lexicon.parse(["good = fine", "", line], "words.txt")
    assert "words.txt, line 3" in str(error.value) and message in str(error.value)


def test_lexicon_files_are_utf_8_and_limited(tmp_path):
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
