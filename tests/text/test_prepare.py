import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import BadText
from backend.text.markup.emotions import MARKERS, adapt_markers, find_markers, markers
from backend.text.markup.speech_script import Pause, SpokenText
from backend.text.phonemes.alphabets import FAMILY_ALPHABET, convert
from backend.text.phonemes.lexicon import Lexicon
from backend.text.prepare import prepare_text
from backend.text.segmentation.sentences import split_sentences
from backend.text.segmentation.unicode_scripts import script_of, split_by_script

FAMILIES = sorted(FAMILY_ALPHABET)
MARKED = "(excited) I found it! [laughing] No way, (in a hurry tone) come [short pause] here (the red one)."


def text_of(*arguments, **options):
    return prepare_text(*arguments, **options).text


def test_families_list_markers_in_their_brackets():
    assert "(whispering)" in markers("s1")["tones"] and "[whisper]" in markers("s2")["tones"]
    assert markers("v15") == markers("phonogram") == {}
    assert sum(map(len, markers("s1").values())) == 66


def test_listed_markers_are_not_changed():
    for family in ("s1", "s2"):
        for group in markers(family).values():
            for marker in group:
                assert adapt_markers(f"{marker} Hello.", family) == (f"{marker} Hello.", ())


@pytest.mark.parametrize(
    ("family", "text", "ignored"),
    [
        ("s1", "(excited) I found it! (laughing) No way, (in a hurry tone) come here (the red one).", ("short pause",)),
        ("s2", "[excited] I found it! [laughing] No way, [in a hurry tone] come [short pause] here (the red one).", ()),
        ("v15", "I found it! No way, come here (the red one).", ("excited", "laughing", "in a hurry tone", "short pause")),
        ("phonogram", "I found it! No way, come here (the red one).",
         ("excited", "laughing", "in a hurry tone", "short pause")),
    ],
)  # fmt: skip
def test_markers_are_converted_and_unknown_ones_reported(family, text, ignored):
    assert adapt_markers(MARKED, family) == (text, ignored)
    assert [marker.name for marker in find_markers(MARKED, family).unknown] == list(ignored)
    script = prepare_text(MARKED, family)
    assert script.text == text
    assert all(any(name in line for line in script.ignored) for name in ignored)


@pytest.mark.parametrize("family", FAMILIES)
def test_pronunciations_use_the_family_alphabet_or_are_reported(family):
    text = "Say [tomato](/təˈmɑːtoʊ/) and [hello](/HH AH0 L OW1/arpabet)."
    script = prepare_text(text, family, markup="markup")
    pair = {"arpabet": ("T AH0 M AA1 T OW0", "HH AH0 L OW1"), "symbols": ("təmˈɑːtO", "həlˈO")}.get(
        FAMILY_ALPHABET[family] or ""
    )
    if pair:
        assert script.text == "Say {} and {}.".format(*(f"<|phoneme_start|>{p}<|phoneme_end|>" for p in pair))
        assert not script.ignored
    else:
        assert script.text == "Say tomato and hello." and len(script.ignored) == 2


@pytest.mark.parametrize("phonemes", ["§", "HH QQ1", "<|im_end|>", " ", "x" * 500])
def test_invalid_sounds_are_rejected(phonemes):
    for alphabet in ("ipa", "arpabet", "klingon"):
        with pytest.raises(BadText):
            convert(phonemes, alphabet, "s1")


def test_normalization_is_optional_and_english_only():
    assert text_of("It is 12 km.", "s1") == "It is twelve kilometers."
    assert text_of("It is 12 km.", "s1", normalize=False) == "It is 12 km."
    assert text_of("Il y a 12 km.", "s1") == "Il y a 12 km."


def test_lexicon_applies_before_normalization_except_to_final_text():
    lexicon = Lexicon.parse(["km = klicks", "S Q L = never"])
    assert text_of("It is 12 km.", "s1", lexicon=lexicon) == "It is twelve klicks."
    ssml = '<speak>The <say-as interpret-as="characters">SQL</say-as></speak>'
    assert text_of(ssml, "s1", markup="ssml", lexicon=lexicon) == "The S Q L"


def test_unsupported_scripts_are_removed_and_named():
    script = prepare_text("Hello 你好 world 👨‍👩‍👧!", "phonogram")
    assert script.text.split() == ["Hello", "world", "!"]
    assert "2 characters of Han ('你好')" in script.ignored[0] and "pictograms" in script.ignored[0]
    assert text_of("Hello 你好", "s1") == "Hello 你好"
    with pytest.raises(BadText, match="Han"):
        prepare_text("你好", "phonogram")


def test_compatibility_letters_are_read_as_plain_ones():
    script = prepare_text("𝐇𝐞𝐥𝐥𝐨 ｙｏｕ, this is ﬁne.", "phonogram")
    assert script.text == "Hello you, this is fine." and not script.ignored
    assert prepare_text("5 µm at 20º", "phonogram").ignored == ()


@given(text=st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_joined_runs_are_the_text(text):
    found = split_by_script(text, {"Latin"})
    assert "".join(run.text for run in found.runs) == text
    assert (found.message is None) == all(run.is_spoken for run in found.runs)
    assert all(script_of(character) in ("", "Latin") for s in found.runs if s.is_spoken for character in s.text)


@pytest.mark.parametrize(
    ("character", "script"),
    [("a", "Latin"), ("é", "Latin"), ("Ａ", "Latin"), ("ﬁ", "Latin"), ("你", "Han"), ("ひ", "Hiragana"), ("ガ", "Katakana"),
     ("Ж", "Cyrillic"), ("α", "Greek"), ("ع", "Arabic"), ("한", "Hangul"), ("😀", "pictograms"), ("7", ""), (".", ""), ("½", "")],
)  # fmt: skip
def test_script_names(character, script):
    assert script_of(character) == script


@pytest.mark.parametrize("family", FAMILIES)
@given(
    words=st.lists(st.sampled_from(["Hello.", "Good", "day!", "[pause:1s]", "[speed:2]", "[laughing]"]), max_size=12)
)
@settings(max_examples=30, deadline=None)
def test_all_markup_kinds_keep_the_words(family, words):
    script = prepare_text(" ".join(["ok", *words]), family, markup="markup")
    spoken = [word for piece in script.pieces if isinstance(piece, SpokenText) for word in piece.text.split()]
    assert [w for w in spoken if w[0] not in "[("] == ["ok", *(w for w in words if w[0] != "[")]
    assert sum(p.duration_s for p in script.pieces if isinstance(p, Pause)) == words.count("[pause:1s]")
    assert all(MARKERS[family] or "laughing" not in word for word in spoken)


def test_prepared_text_is_split_into_sentences():
    assert split_sentences(text_of("At 10 a.m. He left. Dr. Lee stayed.", "s1")) == [
        "At ten AM. ",
        "He left. ",
        "doctor Lee stayed.",
    ]
