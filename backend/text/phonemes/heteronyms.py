"""Words with two pronunciations, decided by the words around them.

The dictionary's own part-of-speech tagger decides most of them (`use`, `close`, `live`, `record`). The rules here decide
what it gets wrong: words whose meaning, not part of speech, makes the difference (`lead`, `bass`, `bow`, `minute`), the
tense of `read`, and verbs after a pronoun. What no rule matches is left to the tagger: a sentence without any sign of
time ("I read a book") is read in the past tense, as stories are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

# Phonemes of a dictionary: by word, or by word and part of speech.
Dictionary = Mapping[str, str | Mapping[str, str | None]]

SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")
PAST = re.compile(
    r"\b(?:yesterday|ago|once|last (?:night|week|month|year|summer|winter|spring|fall|autumn|time|\w+day)|had|was|were"
    r"|did|went|came|said|thought|took|made|saw|knew|told|felt|that (?:day|night|morning|evening)|in (?:1\d|20)\d\d"
    r"|(?!need|feed|seed|speed|indeed|bed|red|shed|hundred|sacred|naked)[a-z]{3,}ed)\b",
    re.IGNORECASE,
)
HABIT = re.compile(
    r"\b(?:every|always|often|usually|sometimes|never|rarely|seldom|daily|weekly|generally|normally|mostly|nowadays|each"
    r"|in the (?:mornings?|evenings?|afternoons?)|at night|before bed|on \w+days|regularly|still|if|when|whenever|while|as"
    r"|what|which|how|today|now|these days)\b",
    re.IGNORECASE,
)
VERBS = "object|project|contract|conduct|permit|produce|subject|increase|desert|refuse|present|record|estimate|separate"
METAL_THINGS = (
    "pipes?|paints?|poisoning|acid|metal|bullets?|weights?|shot|levels?|dust|ore|mines?|exposure|oxide|crystal|glass"
    "|pencils?|coffin|roof|roofs|balloon|apron|foil|batter(?:y|ies)|alloys?|solder|sheets?|contamination|sulfide|nitrate"
)
METALS = "mercury|zinc|copper|iron|tin|arsenic|cadmium|silver|gold|nickel|steel|antimony"


class Heteronym(NamedTuple):
    """`pattern` has the group `word`; `sources` name dictionary entries with the phonemes meant, the first that is there."""

    pattern: re.Pattern[str]
    sources: tuple[tuple[str, str], ...]
    applies: Callable[[str], bool] = lambda sentence: True


def _any(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


FISH = _any(
    r"\b(?:fish|fishing|fished|caught|catch|lake|river|sea|pond|fillets?|striped|largemouth|smallmouth|grilled|trout)\b"
)

HETERONYMS = (
    # The tense of "read".
    Heteronym(_any(r"\b(?:have|has|had|having)(?: (?:I|you|we|they|he|she|it|not|never|ever|already|just|\w+ly)){0,3} (?P<word>read)\b"), (("read", "VBN"),)),
    Heteronym(_any(r"\b(?:I|you|we|they|who|people|students|children|parents)(?: (?!have|had|has|will|would|can|could|may|might|must|shall|should|do|did|to)\w+(?:ly|ways|ften|imes|ever))? (?P<word>read)\b"),
              (("read", "DEFAULT"),), lambda sentence: bool(HABIT.search(sentence)) and not PAST.search(sentence)),
    # "lead", the metal.
    Heteronym(_any(rf"\b(?P<word>lead)(?= (?:{METAL_THINGS})\b|-(?:free|based|lined|acid|glazed))"), (("led", "DEFAULT"),)),
    Heteronym(_any(r"\b(?P<word>lead)(?= in (?:the |their |our |its |his |her |your |old )?(?:drinking )?(?:water|blood|paint|pipes?|soil|air|gasoline|petrol|toys|dust)\b)"), (("led", "DEFAULT"),)),
    Heteronym(_any(r"\b(?:molten|melted|melting|pure|made of|lined with|(?:tons?|pounds?|kilograms?|traces?|amounts?|levels?|sheets?|bars?|pieces?) of|contain(?:s|ed|ing)?|heavy as) (?P<word>lead)\b(?! (?:singer|actor|guitar|role|author))"), (("led", "DEFAULT"),)),
    Heteronym(_any(rf"\b(?:{METALS})(?:,| and| or) (?P<word>lead)\b|\b(?P<word2>lead)(?=(?:,| and| or) (?:{METALS})\b)"), (("led", "DEFAULT"),)),
    Heteronym(_any(r"(?P<word>\blead)(?= is (?:a |an )?(?:very )?(?:heavy|soft|toxic|poisonous|dense|metal|chemical|element|dull|gray|grey)\b)"), (("led", "DEFAULT"),)),
    # "bass" of music is commoner than the fish.
    Heteronym(_any(r"\b(?P<word>bass)\b"), (("bass", "ADJ"), ("base", "DEFAULT")), lambda sentence: not FISH.search(sentence)),
    # "bow" of a ship, and before an audience.
    Heteronym(_any(r"\b(?P<word>bow)(?= of (?:the|a|his|her|our|their|its|this) (?:ship|boat|vessel|yacht|canoe|ferry|tanker)\b| and stern\b)"), (("bow", "VERB"),)),
    Heteronym(_any(r"\b(?:(?:took|take|takes|taking) (?:a|his|her|their) (?:\w+ )?|(?:ship|boat|vessel)['’]s |low |deep |with a (?:deep |low |slight |little ))(?P<word>bow)\b(?! (?:and arrow|tie))"), (("bow", "VERB"),)),
    # "minute", tiny.
    Heteronym(_any(r"(?<!every )(?<!last )(?<!per )(?<!one )(?<!\d )(?<!-)\b(?P<word>minute)(?= (?:amounts?|quantit(?:y|ies)|details?|particles?|traces?|differences?|changes?|fractions?|doses?|fragments?|organisms?|crystals?)\b)"), (("minute", "ADJ"),)),
    # "content", satisfied.
    Heteronym(_any(r"\b(?:was|is|are|were|be|been|being|am|I'm|he's|she's|they're|seems?|seemed|feels?|felt|looked|looks|perfectly|quite|very|more|never|stay|stayed|remain(?:ed|s)?) (?:not |quite |very |perfectly )?(?P<word>content)(?=[.,;:!?]|$| (?:to|with|in|just|and|but|enough|here|there)\b)"), (("content", "DEFAULT"),)),
    # Verbs after a pronoun or before an adverb.
    Heteronym(_any(rf"\b(?:I|we|they|you)(?: (?:\w+ly|also|never|always|often|still|both|all))? (?P<word>{VERBS})\b(?! (?:of|is|was|are|were)\b)"), (("", "VERB"),)),
    Heteronym(_any(r"\b[a-z]{3,}s (?P<word>object|contract|conduct|project) (?=[a-z]+ly\b|to\b|when\b)"), (("", "VERB"),)),
)  # fmt: skip


def mark_heteronyms(text: str, dictionary: Dictionary) -> str:
    """Returns the text with `[word](/phonemes/)` in place of every word that a rule decides."""
    return SENTENCE.sub(lambda sentence: _marked(sentence[0], dictionary), text)


def _marked(sentence: str, dictionary: Dictionary) -> str:
    for heteronym in HETERONYMS:
        if heteronym.applies(sentence):
            sentence = heteronym.pattern.sub(lambda match, rule=heteronym: _replaced(match, rule, dictionary), sentence)  # type: ignore[misc]
    return sentence


def _replaced(match: re.Match[str], rule: Heteronym, dictionary: Dictionary) -> str:
    group = "word" if match["word"] is not None else "word2"
    word, start = match[group], match.start(group) - match.start()
    if match.string[match.start(group) - 1 : match.start(group)] == "[":
        return match[0]  # decided by a rule before
    phonemes = next(filter(None, (_entry(dictionary, name or word.lower(), tag) for name, tag in rule.sources)), None)
    if phonemes is None:
        return match[0]
    return f"{match[0][:start]}[{word}](/{phonemes}/){match[0][start + len(word) :]}"


def _entry(dictionary: Dictionary, word: str, tag: str) -> str | None:
    entry = dictionary.get(word)
    if isinstance(entry, Mapping):
        return entry.get(tag) or entry.get("DEFAULT")
    return entry
