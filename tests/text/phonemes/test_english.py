"""English grapheme-to-phoneme conversion."""

import random

import pytest

from backend.errors import BadSettings
from backend.text.phonemes.english import SYMBOLS, EnglishPhonemizer


@pytest.fixture(scope="module")
def read():
    return EnglishPhonemizer().read


def test_words_map_to_known_symbols(read):
    assert read("Hello there.").symbols == "həlˈO ðˈɛɹ."


# Written form and spelled-out form, which must have the same phonemes.
@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("It costs $4.50.", "It costs four dollars and fifty cents."),
        ("That is £20.", "That is twenty pounds."),
        ("A $3.2 billion deal.", "A three point two billion dollars deal."),
        ("On March 3rd, 1999.", "On March third, nineteen ninety nine."),
        ("In the 1980s.", "In the nineteen eighties."),
        ("The 21st century.", "The twenty first century."),
        ("Dr. Smith lives here.", "Doctor Smith lives here."),
        ("He is at 12 St. James St.", "He is at twelve Saint James Street."),
        ("It weighs 5 kg.", "It weighs five kilograms."),
        ("Chapter IV of Henry VIII.", "Chapter four of Henry the eighth."),
        ("I read it yesterday.", "I red it yesterday."),
        ("I will read it tomorrow.", "I will reed it tomorrow."),
        ("Leicester is a town.", "Lester is a town."),
        ("The price is €5", "The price is five euros"),
        ("He said no. Then he ate a fig.", "He said know. Then he ate a figg."),
        ("The α and the β", "The alpha and the beta"),
        ("a 5Ω and 2λ", "a five omega and two lambda"),
    ],
)
def test_numbers_have_the_phonemes_of_their_words(read, written, spoken):
    def sounds(text):
        return [c for c in read(text).symbols if c not in "ˈˌ ,"]

    assert sounds(written) == sounds(spoken)


@pytest.mark.parametrize("text", ["He lives in D.C.", '"At 5 p.m."', "We are in the U.S."])
def test_period_after_letters_ends_the_sentence(read, text):
    assert read(text).symbols.endswith(".")


def test_noun_and_verb_stress_differ(read):
    assert read("The record is good.").symbols.split()[1] != read("They record it.").symbols.split()[1]


def test_british_differs_from_american(read):
    british = EnglishPhonemizer("en-gb")
    assert british("The car was hot.") != read("The car was hot.").symbols
    assert "ː" in british("car")


@pytest.mark.parametrize(
    ("text", "skipped"),
    [
        ("Hello 你好吗 world", ("你好吗",)),
        ("Привет мир", ("Привет мир",)),
        ("emoji 😀 here", ("😀",)),
        ("हिन्दी test", ("हिन्दी",)),
        ("café, Zürich and π", ()),
        ("“quotes” — dashes… €5", ()),
        ("", ()),
    ],
)
def test_unsupported_text_is_reported_and_skipped(read, text, skipped):
    assert read(text).skipped == skipped
    assert (
        read(text).symbols == read(" ".join(text.translate(dict.fromkeys(map(ord, "".join(skipped)), " ")).split()))[0]
    )


def test_explicit_symbols_are_used(read):
    assert read("Say [hibari](/hibˈɑɹi/) now.").symbols == "sˈA hibˈɑɹi nˈW."
    assert read("[think](/θˈɪŋk AT/) OF NOTHING ELSE").symbols.startswith("θˈɪŋk AT ˌʌv")
    assert set(read("[x](/^你$ˈɑ/)").symbols) <= set(SYMBOLS[2:])


def test_any_text_maps_to_listed_symbols_in_bounded_time(read):
    draw = random.Random(3)
    alphabet = "abcXYZ 0123.,-'\"/&@#$€%()[]{}<>\\|~^_`´\n\té漢я😀\u0301\u200b\ud800"
    for _ in range(60):
        text = "".join(draw.choice(alphabet) for _ in range(draw.randrange(60)))
        assert set(read(text).symbols) <= set(SYMBOLS[2:]), repr(text)


@pytest.mark.parametrize("unit", ["a-b", "1a", "a/b&c@", "'-"])
def test_long_words_are_fast(read, unit):
    # Without splitting, the first of these takes minutes.
    assert read((unit * 1000)[:1000]).symbols


def test_unknown_language_is_rejected():
    with pytest.raises(BadSettings, match=r"'fr'.*en-us or en-gb"):
        EnglishPhonemizer("fr")


def test_symbols_are_distinct_single_characters():
    assert len(set(SYMBOLS)) == len(SYMBOLS)
    assert all(len(symbol) == 1 for symbol in SYMBOLS)
