"""Text preparation: parses markup, applies the lexicon, normalizes numbers and adapts emotion markers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from backend.errors import BadText
from backend.text.markup.brackets import parse_markup
from backend.text.markup.emotions import BRACKETS, adapt_markers, written
from backend.text.markup.speech_script import Pause, PlainText, Pronunciation, Script, SpokenText
from backend.text.markup.ssml import parse_ssml
from backend.text.normalization.english import normalize_english
from backend.text.phonemes.alphabets import convert
from backend.text.phonemes.lexicon import Lexicon
from backend.text.segmentation.language_detection import looks_english
from backend.text.segmentation.line_ends import mark_line_ends
from backend.text.segmentation.unicode_scripts import FAMILY_SCRIPTS, plain_letters, split_by_script
from backend.text.tokenizers.control_tokens import PHONEME_END, PHONEME_START

PARSERS: dict[str, Callable[[str], Script]] = {
    "plain": lambda text: Script((SpokenText((PlainText(text),)),)),
    "markup": parse_markup,
    "ssml": parse_ssml,
}


def prepare_text(
    text: str, family: str, *, markup: str = "plain", normalize: bool = True, lexicon: Lexicon | None = None
) -> Script:
    """Return the script to synthesize: each `SpokenText` holds one final text, each `Pause` is silence.

    `markup`: "plain", "markup" or "ssml". `normalize` writes out numbers in English text. `ignored` lists what this
    family does not support. Raises `BadText` for broken markup or if no text is left, and `LimitExceeded` for
    documents that are too large.
    """
    script = PARSERS[markup](text)
    ignored = list(script.ignored)
    is_english = normalize and looks_english(script.text)
    pieces: list[SpokenText | Pause] = []
    for piece in script.pieces:
        if isinstance(piece, SpokenText):
            final = "".join(_prepared(span, family, is_english, lexicon, ignored) for span in piece.spans)
            if final.strip():
                pieces.append(replace(piece, spans=(PlainText(final, is_final=True),)))
        else:
            pieces.append(piece)
    if not any(isinstance(piece, SpokenText) for piece in pieces):
        reasons = " ".join(ignored)
        raise BadText(f"There is no text to speak. {reasons} Send words this voice can read.".replace("  ", " "))
    return Script(tuple(pieces), tuple(dict.fromkeys(ignored)))


def _prepared(
    span: PlainText | Pronunciation, family: str, is_english: bool, lexicon: Lexicon | None, ignored: list[str]
) -> str:
    if isinstance(span, Pronunciation):
        phonemes = convert(span.phonemes, span.alphabet, family)
        if phonemes is not None:
            return f"{PHONEME_START}{phonemes}{PHONEME_END}"
        ignored.append(f"The pronunciation of '{span.word}' is not used: this model does not support its alphabet.")
        return span.word
    if span.is_final:
        return span.text
    if lexicon is not None:
        spans = lexicon.apply(span.text)
        return "".join(_prepared(inner, family, is_english, None, ignored) for inner in spans)
    text, removed = adapt_markers(plain_letters(span.text), family)
    if removed:
        form = f"; its markers look like {written('laughing', family)}" if family in BRACKETS else ""
        ignored.append(f"Markers this model does not support: {', '.join(removed)}{form}.")
    if FAMILY_SCRIPTS[family] is not None:
        # The published models were trained on texts with their line ends; phonemes have none.
        text = mark_line_ends(text)
    if is_english:
        text = normalize_english(text)
    supported = split_by_script(text, FAMILY_SCRIPTS[family])
    if supported.message:
        ignored.append(supported.message)
    return supported.text
