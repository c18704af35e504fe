"""Hostile texts: processing takes linear time and returns words or raises an error."""

import time
from contextlib import suppress

import pytest

from backend.errors import PhonogramError
from backend.text.phonemes.english import EnglishPhonemizer
from backend.text.prepare import prepare_text
from backend.text.segmentation.sentences import split_to_length

# Worst cases for regular expressions: long runs of possible starts of a number, amount, address or marker.
UNITS = ["1", "$1", "1:", "12/", "1-", "1e", "a@", "http://", "(555) ", "[[", "<", "½", "'a", "...", "Mr. ", "I"]
ENGLISH = "The cat sat on the mat and it was a good cat. "


def flood(unit, n_chars, markup="plain"):
    text = ENGLISH + unit * (n_chars // len(unit))
    return f"<speak>{text}</speak>" if markup == "ssml" else text


def cost_s(read, text):
    started_s = time.process_time()
    with suppress(PhonogramError):
        read(text)
    return time.process_time() - started_s


def require_linear(read, unit, **options):
    long_s = cost_s(read, flood(unit, 4000, **options))
    if long_s > 0.1:
        # Four times the text; quadratic time would be sixteen times. Best of two, since the machine may be busy.
        short_s = min(cost_s(read, flood(unit, 1000, **options)) for _ in range(2))
        assert min(long_s, cost_s(read, flood(unit, 4000, **options))) < 9 * short_s, unit
    assert long_s < 2.0


@pytest.mark.parametrize("markup", ["plain", "markup", "ssml"])
def test_text_preparation_takes_linear_time(markup):
    def read(text):
        split_to_length(prepare_text(text, "phonogram", markup=markup).text, 200)

    for unit in UNITS:
        require_linear(read, unit, markup=markup)


@pytest.fixture(scope="module")
def phonemizer():
    phonemizer = EnglishPhonemizer()
    phonemizer.read("One, two.")
    return phonemizer


def test_phonemization_takes_linear_time(phonemizer):
    for unit in ("1,", "$1", "a-", "x1", "'a", "A"):
        require_linear(phonemizer.read, unit)


@pytest.mark.parametrize("form", ["{}", "-{}", "${}", "{}.5", "1.{}", "{}%", "{}/{}", "{}th", "{}s", "+{}", "x{}"])
@pytest.mark.parametrize("n_digits", [36, 300])
def test_very_long_number_is_read_digit_by_digit(phonemizer, form, n_digits):
    assert phonemizer.read(form.replace("{}", "7" * n_digits)).symbols
    assert phonemizer.read(",".join(["777"] * (n_digits // 3))).symbols
