"""Words with two pronunciations are read by their meaning."""

import pytest

from backend.text.phonemes.english import EnglishPhonemizer
from backend.text.phonemes.heteronyms import mark_heteronyms

READ = {
    "red": ["She read it yesterday.", "He has read the letter.", "I read it last night.", "The book was read by all.",
            "Have you read it?", "She had never read so fast.", "When he opened it, he read the note twice.",
            "I have already read it."],
    "reed": ["I read books every day.", "I will read it.", "We usually read before bed.", "Read the label first.",
             "To read is to live.", "Do you read much?", "Did you read it?", "You should read more.",
             "They read the news in the morning and then work."],
}  # fmt: skip
OTHERS = [
    ("lead", "led", ["They found lead in the water.", "Lead is a heavy metal.", "The lead pipe broke.",
                     "The paint contains lead.", "Mercury and lead are toxic.", "two tons of lead"]),
    ("lead", "leed", ["She will lead the team.", "He took the lead.", "They lead by two goals.", "a lead guitarist",
                      "He found the lead actor."]),
    ("bass", "base", ["He plays bass guitar.", "The bass was too loud."]),
    ("bow", "bau", ["the bow of the ship", "He took a bow.", "bow and stern"]),
]  # fmt: skip


@pytest.fixture(scope="module")
def read_aloud():
    return EnglishPhonemizer()


def vowels(phonemes):
    return phonemes.replace("ˈ", "").replace("ˌ", "")


@pytest.mark.parametrize(("sounds_like", "text"), [(like, text) for like, texts in READ.items() for text in texts])
def test_read_has_the_tense_of_its_sentence(read_aloud, sounds_like, text):
    other = "reed" if sounds_like == "red" else "red"
    phonemes = vowels(read_aloud(text))
    assert vowels(read_aloud(sounds_like)) in phonemes and vowels(read_aloud(other)) not in phonemes


@pytest.mark.parametrize(
    ("word", "like", "text"), [(word, like, text) for word, like, texts in OTHERS for text in texts]
)
def test_a_word_is_read_by_its_meaning(read_aloud, word, like, text):
    expected = {"led": "lɛd", "leed": "lid", "base": "bAs", "bau": "bW"}[like]
    assert expected in vowels(read_aloud(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("I object to that.", "əbʤˈɛkt"), ("The object fell.", "ˈɑbʤəkt"), ("They project a loss.", "pɹəʤˈɛkt"),
     ("The project failed.", "pɹˈɑʤˌɛkt"), ("a minute amount of dust", "mInˈut"), ("Wait a minute.", "mˈɪnət"),
     ("She was content.", "kəntˈɛnt"), ("The content is good.", "kˈɑntɛnt"), ("We live here.", "lˈɪv"),
     ("live music", "lˈIv"), ("We caught a bass in the lake.", "bˈæs"), ("a bow and arrow", "bˈO")],
)  # fmt: skip
def test_stress_and_vowels_follow_the_part_of_speech(read_aloud, text, expected):
    assert expected in read_aloud(text)


def test_what_no_rule_decides_is_left_to_the_tagger():
    assert mark_heteronyms("The wind blew.", {"wind": "x"}) == "The wind blew."


@pytest.mark.parametrize("text", ["read " * 4000, "I " * 8000, "have " * 4000 + "read", "lead in the " * 2000])
def test_long_texts_take_linear_time(text):
    assert mark_heteronyms(text, {})
