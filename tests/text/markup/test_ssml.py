import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import BadText, LimitExceeded
from backend.text.markup.speech_script import Pause, PlainText, Pronunciation, SpokenText
from backend.text.markup.ssml import parse_ssml

LAUGHS = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(9))
BOMBS = {
    "billion laughs": f'<!DOCTYPE s [<!ENTITY l0 "ha">{LAUGHS}]><speak>&l9;</speak>',
    "external entity": '<!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><speak>&x;</speak>',
    "external document type": '<!DOCTYPE s SYSTEM "http://example.com/s.dtd"><speak>a</speak>',
    "parameter entity": '<!DOCTYPE s [<!ENTITY % p SYSTEM "http://example.com/p"> %p;]><speak>a</speak>',
    "empty document type": "<!DOCTYPE speak><speak>a</speak>",
    "processing instruction": '<?xml-stylesheet href="file:///x"?><speak>a</speak>',
    "undefined entity": "<speak>&nbsp;</speak>",
    "not closed": "<speak>a",
    "two roots": "<speak>a</speak><speak>b</speak>",
    "not XML": "hello",
    "no speak": "<voice name='a'>b</voice>",
}
TOO_LARGE = {
    "depth": "<speak>" + "<p>" * 40 + "a" + "</p>" * 40 + "</speak>",
    "elements": "<speak>" + "<s>a</s>" * 10_001 + "</speak>",
    "bytes": "<speak>" + "é" * 600_000 + "</speak>",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_doctype_and_instructions_are_rejected(bomb):
    with pytest.raises(BadText):
        parse_ssml(BOMBS[bomb])


@pytest.mark.parametrize("limit", TOO_LARGE)
def test_documents_over_a_limit_are_rejected(limit):
    with pytest.raises(LimitExceeded):
        parse_ssml(TOO_LARGE[limit])


def test_error_names_line_and_column():
    with pytest.raises(BadText, match="line 2, column 4"):
        parse_ssml("<speak>\nab & c</speak>")


def test_all_elements_are_parsed():
    script = parse_ssml(
        '<?xml version="1.0"?><speak version="1.1" xmlns="http://www.w3.org/2001/10/synthesis" xml:lang="en-US">'
        'One <break time="500ms"/>two<break strength="strong"/><prosody rate="150%">fast <prosody rate="-50%">half'
        '</prosody></prosody> <voice name="anna">she</voice> <sub alias="World Wide Web">WWW</sub> '
        '<phoneme alphabet="x-arpabet" ph="HH AH0 L OW1">hello</phoneme> '
        '<say-as interpret-as="characters">SQL</say-as></speak>'
    )
    assert script.pieces == (
        SpokenText((PlainText("One "),)), Pause(0.5), SpokenText((PlainText("two"),)), Pause(0.8),
        SpokenText((PlainText("fast "),), None, 1.5),
        SpokenText((PlainText("half"),), None, 0.75), SpokenText((PlainText(" "),)), SpokenText((PlainText("she"),), "anna"),
        SpokenText((PlainText(" World Wide Web "), Pronunciation("hello", "HH AH0 L OW1", "arpabet"), PlainText(" "),
             PlainText("S Q L", is_final=True))),
    )  # fmt: skip
    assert script.ignored == ()


def test_paragraphs_pause_and_white_space_is_ignored():
    script = parse_ssml("<speak>\n  <p><s>One\n   two.</s> <s>Three.</s></p>\n<p>Four.</p></speak>")
    assert [piece.text.strip() for piece in script.pieces if isinstance(piece, SpokenText)][:1] == ["One two.\n Three."]
    assert [piece.duration_s for piece in script.pieces if isinstance(piece, Pause)] == [0.4, 0.4]


def test_unknown_elements_are_reported_and_their_text_kept():
    script = parse_ssml(
        '<speak>A <emphasis level="strong">big</emphasis> <prosody rate="fast" volume="loud" pitch="190Hz">dog</prosody> '
        '<say-as interpret-as="mood">ok</say-as> <phoneme alphabet="x-sampa" ph="dQg">dog</phoneme></speak>'
    )
    assert script.text == "A big dog ok dog"
    assert [
        any(word in line for line in script.ignored) for word in ("emphasis", "volume", "190Hz", "mood", "x-sampa")
    ] == [True] * 5


@pytest.mark.parametrize(
    "inside", ['<break time="long"/>', '<break time="61s"/>', '<break strength="huge"/>', '<prosody rate="warp">a</prosody>',
               '<prosody rate="900%">a</prosody>', "<voice>a</voice>", "<sub>a</sub>", "<phoneme>a</phoneme>",
               '<prosody rate="x-fast"><prosody rate="x-fast"><prosody rate="400%">a</prosody></prosody></prosody>',
               '<prosody pitch="warm">a</prosody>', '<prosody pitch="-200%">a</prosody>', '<prosody pitch="+13st">a</prosody>',
               '<prosody pitch="x-high"><prosody pitch="+7st">a</prosody></prosody>'],
)  # fmt: skip
def test_invalid_values_are_rejected(inside):
    with pytest.raises(BadText, match="line 1"):
        parse_ssml(f"<speak>a {inside}</speak>")


def test_nested_pitches_add_up():
    script = parse_ssml(
        '<speak>a<prosody pitch="+2st">b<prosody pitch="-50%">c</prosody>d</prosody><prosody pitch="x-high">e</prosody>f</speak>'
    )
    pitches = [(piece.text, piece.pitch) for piece in script.pieces if isinstance(piece, SpokenText)]
    assert pitches == [("a", 0.0), ("b", 2.0), ("c", -10.0), ("d", 2.0), ("e", 6.0), ("f", 0.0)]


NAMES = ["speak", "p", "s", "break", "prosody", "voice", "sub", "say-as", "phoneme", "b"]


@given(parts=st.lists(st.one_of(st.sampled_from([f"<{n}>" for n in NAMES] + [f"</{n}>" for n in NAMES] + ["&amp;"]),
                                st.text(max_size=8)), max_size=20))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_any_input_is_parsed_or_rejected(parts):
    try:
        script = parse_ssml("<speak>" + "".join(parts) + "</speak>")
    except (BadText, LimitExceeded):
        return
    assert script.text.strip()
