"""Normalization of emphatic spellings."""

import pytest

from backend.text.normalization.letter_case import normalize_emphasis
from backend.text.phonemes.english import EnglishPhonemizer

WORDS = frozenset([
    "a", "am", "and", "big", "can", "cat", "do", "down", "good", "he", "hello", "id", "it", "let", "long", "nato",
    "no", "please", "quick", "sat", "smith", "so", "stop", "the", "to", "told", "us", "want", "war", "what", "world",
    "yes", "chapter", "this",
])  # fmt: skip


@pytest.fixture(scope="module")
def read():
    return EnglishPhonemizer().read


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("STOP! LET THE BIG CAT DOWN.", "Stop! Let the big cat down."),
        ("You CAN do it, and HE is SO good.", "You can do it, and he is so good."),
        ("The IT staff TOLD us.", "The IT staff TOLD us."),
        ("NATO TOLD US THE US WANT IT.", "Nato told us the US want it."),
        ("I AM GOOD AT TEN AM.", "I am good at TEN AM."),
        ("THIS IS IBM AND HTML.", "This is IBM and HTML."),
        ("CHAPTER IV. THE WORLD WAR II.", "Chapter IV. The world War II."),
        ("DON'T! I'LL DO IT.", "Don't! I'll do it."),
        ("Portland, OR and AT&T and NO-1", "Portland, OR and AT&T and NO-1"),
        ("Nooo, goood, pleeease, yesss, helloooo.", "No, good, please, yes, hello."),
        ("www.xxx XXX iii bookkeeper Mississippi aaa", "www.xxx XXX iii bookkeeper Mississippi aaa"),
        ("Shh! Brrrr, grr. Zzzz, tsk. Hmph.", "Shush! Burr, gurr. Zuzz, tisk. Humf."),
        ("", ""),
    ],
)
def test_emphatic_spellings_are_normalized(written, plain):
    assert normalize_emphasis(written, WORDS.__contains__) == plain


@pytest.mark.parametrize("unit", ["aaa", "AB ", "aAb", "I'", "shh", "lll-", "NO."])
def test_long_emphatic_spellings_are_fast(unit):
    text = unit * (20_000 // len(unit))
    assert len(normalize_emphasis(text, lambda word: False)) <= 2 * len(text)


# Texts whose capitals were read as letters, and the same text in lower case.
@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("He is my brother. We can do it.".upper(), "He is my brother. We can do it."),
        ("You CAN do it, but she HAD to.", "You can do it, but she had to."),
        ("World War II ended. Chapter IV.".upper(), "World War two ended. Chapter four."),
        ("Nooo! Sooo good.", "No! So good."),
    ],
)
def test_emphatic_spellings_have_the_phonemes_of_plain_words(read, written, plain):
    def sounds(text):
        return [c for c in read(text).symbols if c not in "ˈˌ"]

    assert sounds(written) == sounds(plain)
