import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.text.normalization.english import normalize_english
from backend.text.normalization.numbers import cardinal, decade, letters, ordinal, year
from backend.text.normalization.say_as import say_as
from backend.text.segmentation.language_detection import looks_english


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("42 boats", "forty-two boats"),
        ("1,250,000.75", "one million two hundred and fifty thousand point seven five"),
        ("0.05 and -3", "zero point zero five and minus three"),
        ("the 1st, 22nd and 103rd", "the first, twenty-second and one hundred and third"),
        ("In 1987, by 1905, since 2007 and in 2024.",
         "In nineteen eighty-seven, by nineteen oh five, since two thousand and seven and in twenty twenty-four."),
        ("1500 people in the 1990s", "one thousand five hundred people in the nineteen nineties"),
        ("$2.50, £3.05, €1, $0.99", "two dollars and fifty cents, three pounds and five pence, one euro, ninety-nine cents"),
        ("5 € or 1€", "five euros or one euro"),
        ("$3 million and $1.2bn", "three million dollars and one point two billion dollars"),
        ("10:30 am, 9:05, 10:00, 17:00, 7pm",
         "ten thirty AM, nine oh five, ten o'clock, seventeen hundred, seven PM"),
        ("At 10 a.m. He left.", "At ten AM. He left."),
        ("2024-05-17 and 5/17/2024", "May seventeenth, twenty twenty-four and May seventeenth, twenty twenty-four"),
        ("May 5, 2021; the 21st of June; Sept. 3", "May fifth, twenty twenty-one; the twenty-first of June; September third"),
        ("10-20 km at 60 mph, -5 °C, 1 kg, 3 ft",
         "ten to twenty kilometers at sixty miles per hour, minus five degrees Celsius, one kilogram, three feet"),
        ("5 GB, 2 kWh, 5m²", "five gigabytes, two kilowatt hours, five square meters"),
        ("50%, 3.5%", "fifty percent, three point five percent"),
        ("1/2, 3/4, 2½, ½", "one half, three quarters, two and a half, a half"),
        ("Dr. Lee vs. Mr. Ray, e.g. here, etc.", "doctor Lee versus mister Ray, for example here, et cetera."),
        ("St. James, No. 10, #5", "Saint James, number ten, number five"),
        ("https://www.example.com/a-b?x=1.", "example dot com slash a dash b question mark x equals one."),
        ("Mail john.doe@mail.com or see example.org!", "Mail john dot doe at mail dot com or see example dot org!"),
        ("v1.2.3 at 10.0.0.1", "v one dot two dot three at ten dot zero dot zero dot one"),
        ("Call 555-123-4567 or 5551234567, agent 007",
         "Call five five five, one two three, four five six seven or five five five one two three four five six seven, "
         "agent zero zero seven"),
        ("AT&T, 2+2=4", "AT and T, two plus two equals four"),
        ("A4 and B2B", "A four and B two B"),
        ("٤٢ and １２", "forty-two and twelve"),
        ("She lost $-5, -$5 and ₩100; a $20 bill, 25¢.",
         "She lost minus five dollars, minus five dollars and one hundred won; a twenty dollar bill, twenty-five cents."),
        ("3.5GHz, 5 µm, 3 m/s², 12 sq. ft. of floor, 3½ tsp, 20º",
         "three point five gigahertz, five micrometers, three meters per second squared, twelve square feet of floor, "
         "three and a half teaspoons, twenty degrees"),
        ("He is 6'2\", she 5 ft 6 in tall, it 5 in. wide; 1h 30m",
         "He is six foot two, she five feet six inches tall, it five inches wide; one hour thirty minutes"),
        ("It has 16GB. 5 users came.", "It has sixteen gigabytes. five users came."),
        ("2 1/4 cups, 24/7, 9/11, 50-50", "two and a quarter cups, twenty-four seven, nine eleven, fifty-fifty"),
        ("Call 555-1234 or +44 20 7946 0958 or (020) 7946 0958. Dial 911. 100-1500 people",
         "Call five five five, one two three four or plus four four, two zero, seven nine four six, zero nine five eight "
         "or zero two zero, seven nine four six, zero nine five eight. Dial nine one one. "
         "one hundred to one thousand five hundred people"),
        ("The ratio 4:1, John 3:16, 8.30pm, 00:00", "The ratio four to one, John three sixteen, eight thirty PM, zero hundred"),
        ("In 1066 and on 17/05/2024", "In ten sixty-six and on May seventeenth, twenty twenty-four"),
        ("y ≤ 3 ± 1 ≠ 6 ÷ 2", "y less than or equal to three plus or minus one is not equal to six divided by two"),
        ("10 000 and 3\u00a0000\u00a0000, rooms 101 202",
         "ten thousand and three million, rooms one hundred and one two hundred and two"),
        ("Act II, scene iii, (iv), page xii, part i", "Act II, scene three, (four), page twelve, part i"),
        ("See p. 5, ch. 2, fig. 4. I ate a fig. The gen. is in ms. now.",
         "See page five, chapter two, figure four. I ate a fig. The gen. is in ms. now."),
        ("Gov. Smith, Mt. Fuji, Gen. Lee; on 5th Ave. He left.",
         "Governor Smith, Mount Fuji, General Lee; on fifth Avenue. He left."),
        ("At 5 p.m. EST. Cats, a.k.a. pets, on Main St", "At five PM EST. Cats, also known as pets, on Main Street"),
        ("9am-5pm, C#, 5 mg. of it, number 911, call 911",
         "nine AM to five PM, C sharp, five milligrams of it, number nine hundred and eleven, call nine one one"),
        ("# Title\nA ~~struck~~ word", "Title\nA struck word"),
        ("Fine.How are you?I am well. a.b and Node.js", "Fine. How are you? I am well. a.b and Node.js"),
        ("Nothing to change here.", "Nothing to change here."),
    ],
)  # fmt: skip
def test_numbers_are_written_out(written, said):
    assert normalize_english(written) == said


def test_tags_markers_and_phonemes_are_not_changed():
    text = "<|speaker:12|>a [pause] <|phoneme_start|>HH AA1 R<|phoneme_end|> b"
    assert normalize_english(text) == text


SIGNS = st.text(alphabet="0123456789.,:/-$£€%°½ abmkpMG@#&+=\n", max_size=60)


@given(text=SIGNS)
@settings(max_examples=200, deadline=None)
def test_normalization_removes_all_digits_and_is_idempotent(text):
    said = normalize_english(text)
    assert not re.search(r"\d", said)
    assert normalize_english(said) == said


@given(text=st.text(max_size=80))
@settings(max_examples=100, deadline=None)
def test_any_text_can_be_normalized(text):
    words = re.findall(r"[a-z]{12,}", text)
    assert all(word in normalize_english(text) for word in words)


@pytest.mark.parametrize(
    "unit", ["1", "1.", "1,", "1-", "1/", "a@", "www.", "May ", "12 ", "$", "½", "https://", "a.", "+1 "]
)
def test_no_text_takes_quadratic_time(unit):
    assert not re.search(r"\d", normalize_english(unit * (20_000 // len(unit))))


@given(value=st.integers(0, 10**15 - 1))
@settings(max_examples=100, deadline=None)
def test_cardinals_are_unambiguous(value):
    units = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
    total = group = 0
    for word in cardinal(str(value)).replace("-", " ").replace(" and ", " ").split():
        if word in units:
            total, group = total + group * units[word], 0
        elif word == "hundred":
            group *= 100
        else:
            group += next(n for n in [*range(20), *range(20, 100, 10)] if cardinal(str(n)) == word)
    assert total + group == value


def test_other_numbers():
    assert [ordinal(n) for n in ("1", "12", "20", "100", "1001")] == [
        "first", "twelfth", "twentieth", "one hundredth", "one thousand and first"]  # fmt: skip
    assert [year(n) for n in ("1066", "1900", "2000", "2010")] == [
        "ten sixty-six",
        "nineteen hundred",
        "two thousand",
        "twenty ten",
    ]
    assert decade("80") == "eighties" and letters("SQL-2") == "S Q L two"
    assert cardinal("1" * 16).startswith("one one one")


@pytest.mark.parametrize(
    ("text", "kind", "form", "said"),
    [("12", "ordinal", "", "twelfth"), ("-1,000.5", "cardinal", "", "minus one thousand point five"),
     ("SQL", "characters", "", "S Q L"), ("17.5.2024", "date", "dmy", "May seventeenth, twenty twenty-four"),
     ("05/17", "date", "md", "May seventeenth"), ("10:30pm", "time", "", "ten thirty PM"),
     ("1/8", "fraction", "", "one eighth"), ("$5", "currency", "", "five dollars"),
     ("abc", "cardinal", "", None), ("x", "nonsense", "", None), ("99/99", "date", "md", None), ("", "digits", "", None)],
)  # fmt: skip
def test_say_as(text, kind, form, said):
    assert say_as(text, kind, form) == said


@pytest.mark.parametrize(
    ("text", "is_english"),
    [("In 1987 there were 42 boats.", True), ("Gate 12", True), ("J'ai 2 chats et 3 chiens", False), ("他有3只猫", False),
     ("Es sind 12 Boote auf dem See", False), ("Tengo 3 gatos y un perro", False), ("12", False), ("Привет 12", False),
     ("The café in Zürich has 12 seats", True)],
)  # fmt: skip
def test_english_is_detected(text, is_english):
    assert looks_english(text) == is_english
