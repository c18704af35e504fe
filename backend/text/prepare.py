"""A request's text as its model reads it: markup obeyed, words respelled, numbers spoken out, markers adapted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from backend.errors import BadText
from backend.text.markup.brackets import parse_markup
from backend.text.markup.emotions import BRACKETS, adapt_markers, written
from backend.text.markup.speech_script import Pause, PlainText, Pronunciation, Say, Script
from backend.text.markup.ssml import parse_ssml
from backend.text.normalization.english import normalize_english
from backend.text.phonemes.alphabets import convert
from backend.text.phonemes.lexicon import Lexicon
from backend.text.segmentation.language_detection import looks_english
from backend.text.segmentation.unicode_scripts import FAMILY_SCRIPTS, plain_letters, split_by_script
from backend.text.tokenizers.control_tokens import PHONEME_END, PHONEME_START

PARSERS: dict[str, Callable[[str], Script]] = {
    "plain": lambda text: Script((Say((PlainText(text),)),)),
    "markup": parse_markup,
    "ssml": parse_ssml,
}


def prepare_text(
    text: str, family: str, *, markup: str = "plain", normalize: bool = True, lexicon: Lexicon | None = None
) -> Script:
    """What to speak for a request: each `Say` holds one final text for `start_conversation`, `Pause` is silence.

    `markup`: "plain", "markup" or "ssml". `normalize` speaks out figures where the text is English. Everything asked
    for that this family cannot do stands in `ignored`. Raises `BadText` for broken markup or if nothing is left to say,
    and `LimitExceeded` for documents that are too large.
    """
    script = PARSERS[markup](text)
    ignored = list(script.ignored)
    is_english = normalize and looks_english(script.text)
    pieces: list[Say | Pause] = []
    for piece in script.pieces:
        if isinstance(piece, Say):
            said = "".join(_spoken(span, family, is_english, lexicon, ignored) for span in piece.spans)
            if said.strip():
                pieces.append(replace(piece, spans=(PlainText(said, is_final=True),)))
        else:
            pieces.append(piece)
    if not any(isinstance(piece, Say) for piece in pieces):
        reasons = " ".join(ignored)
        raise BadText(f"There is nothing to speak. {reasons} Send words this voice can read.".replace("  ", " "))
    return Script(tuple(pieces), tuple(dict.fromkeys(ignored)))


def _spoken(
    span: PlainText | Pronunciation, family: str, is_english: bool, lexicon: Lexicon | None, ignored: list[str]
) -> str:
    if isinstance(span, Pronunciation):
        phonemes = convert(span.phonemes, span.alphabet, family)
        if phonemes is not None:
            return f"{PHONEME_START}{phonemes}{PHONEME_END}"
        ignored.append(f"The pronunciation of '{span.word}' is not used: this model takes none written this way.")
        return span.word
    if span.is_final:
        return span.text
    if lexicon is not None:
        spans = lexicon.apply(span.text)
        return "".join(_spoken(inner, family, is_english, None, ignored) for inner in spans)
    text, removed = adapt_markers(plain_letters(span.text), family)
    if removed:
        form = f"; it writes them such as {written('laughing', family)}" if family in BRACKETS else ""
        ignored.append(f"Markers this model does not know: {', '.join(removed)}{form}.")
    if is_english:
        text = normalize_english(text)
    speakable = split_by_script(text, FAMILY_SCRIPTS[family])
    if speakable.message:
        ignored.append(speakable.message)
    return speakable.text
