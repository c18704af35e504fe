"""SSML `say-as`: text as a number, a date, single letters and so on."""

from __future__ import annotations

import re
from collections.abc import Callable

from backend.text.normalization.dates import MONTHS, speak_date, speak_time
from backend.text.normalization.english import normalize_english
from backend.text.normalization.numbers import cardinal, letters, ordinal, year
from backend.text.normalization.quantities import speak_fraction
from backend.text.normalization.rule import NUMBER


def say_as(text: str, kind: str, form: str = "") -> str | None:
    """Return the words for `text`; None for an unknown kind or text that does not match it.

    `form`: the order of a date's parts, such as dmy.
    """
    convert = SAY_AS.get(kind)
    return convert(text.strip(), form) if convert else None


def _as_time(text: str, form: str) -> str | None:
    match = re.fullmatch(
        r"(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)(?: ?(?P<half>[ap]\.?m\.?))?", text, re.IGNORECASE
    )
    return speak_time(match) if match else None


def _as_date(text: str, form: str) -> str | None:
    parts = re.findall(r"\d+", text)
    order = re.sub(r"[^ymd]", "", form.lower()) or ("ymd" if len(parts[:1]) and len(parts[0]) == 4 else "mdy")
    if len(parts) != len(order) or set(order) - set("ymd") or len(set(order)) != len(order):
        return None
    named = dict(zip(order, parts, strict=True))
    month, day = int(named.get("m", 1)), int(named.get("d", 1))
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    if "d" in named and "m" in named:
        return speak_date(str(day), MONTHS[month - 1], named.get("y"))
    words = [MONTHS[month - 1]] if "m" in named else []
    words += [ordinal(str(day))] if "d" in named else []
    return " ".join(words + ([year(named["y"])] if "y" in named else []))


def _as_number(text: str, speak: Callable[[str], str]) -> str | None:
    return speak(text.replace(",", "")) if re.fullmatch(rf"[-−+]?(?:{NUMBER})", text) else None


SAY_AS: dict[str, Callable[[str, str], str | None]] = {
    "cardinal": lambda text, form: _as_number(text, cardinal),
    "number": lambda text, form: _as_number(text, cardinal),
    "ordinal": lambda text, form: ordinal(text) if re.fullmatch(r"\d{1,15}", text) else None,
    "digits": lambda text, form: letters(text) or None,
    "telephone": lambda text, form: letters(text) or None,
    "characters": lambda text, form: letters(text) or None,
    "spell-out": lambda text, form: letters(text) or None,
    "verbatim": lambda text, form: letters(text) or None,
    "date": _as_date,
    "time": _as_time,
    "fraction": lambda text, form: (m := re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)) and speak_fraction(m),
    "currency": lambda text, form: normalize_english(text) if re.search(r"[$£€¥₹]", text) else None,
    "unit": lambda text, form: normalize_english(text),
}
