"""Speech script: the spoken pieces and pauses of a text, in order."""

from __future__ import annotations

from dataclasses import dataclass

from backend.errors import BadText

MIN_SPEED, MAX_SPEED = 0.25, 4.0
MAX_PITCH = 12.0
MAX_PAUSE_S = 60.0
MAX_PIECES = 10_000


@dataclass(frozen=True, slots=True)
class PlainText:
    """Text as written. `is_final` text skips the lexicon and normalization."""

    text: str
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class Pronunciation:
    """A word with its pronunciation in one of `pronunciation.ALPHABETS`."""

    word: str
    phonemes: str
    alphabet: str = "ipa"


@dataclass(frozen=True, slots=True)
class SpokenText:
    """Text spoken by one voice at one speed and pitch.

    `voice` None, `speed` 1 and `pitch` 0 (semitones) are those of the request.
    """

    spans: tuple[PlainText | Pronunciation, ...]
    voice: str | None = None
    speed: float = 1.0
    pitch: float = 0.0

    @property
    def text(self) -> str:
        """The words, without pronunciations."""
        return "".join(span.text if isinstance(span, PlainText) else span.word for span in self.spans)


@dataclass(frozen=True, slots=True)
class Pause:
    """Silence. Adjacent pauses add up."""

    duration_s: float


@dataclass(frozen=True, slots=True)
class Script:
    """Pieces in order. `ignored` describes unsupported markup."""

    pieces: tuple[SpokenText | Pause, ...]
    ignored: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All words, without pauses."""
        return "".join(piece.text for piece in self.pieces if isinstance(piece, SpokenText))


class ScriptWriter:
    """Collects spans under the current voice, speed and pitch. Raises `BadText` beyond `MAX_PIECES`."""

    def __init__(self) -> None:
        self.voice: str | None = None
        self.speed, self.pitch = 1.0, 0.0
        self._pieces: list[SpokenText | Pause] = []
        self._ignored: dict[str, None] = {}

    def add(self, span: PlainText | Pronunciation) -> None:
        if isinstance(span, PlainText) and not span.text:
            return
        last = self._pieces[-1] if self._pieces else None
        if isinstance(last, SpokenText) and (last.voice, last.speed, last.pitch) == (
            self.voice,
            self.speed,
            self.pitch,
        ):
            spans = list(last.spans)
            if isinstance(span, PlainText) and isinstance(spans[-1], PlainText) and spans[-1].is_final == span.is_final:
                span = PlainText(spans.pop().text + span.text, span.is_final)  # type: ignore[union-attr]
            self._pieces[-1] = SpokenText((*spans, span), self.voice, self.speed, self.pitch)
        else:
            self._pieces.append(SpokenText((span,), self.voice, self.speed, self.pitch))
        self._check()

    def pause(self, duration_s: float) -> None:
        if duration_s > 0:
            self._pieces.append(Pause(duration_s))
            self._check()

    def ignore(self, message: str) -> None:
        self._ignored[message] = None

    def script(self) -> Script:
        """Return the collected script. Raises `BadText` if no piece has words."""
        script = Script(tuple(self._pieces), tuple(self._ignored))
        if not script.text.strip():
            raise BadText("The text contains no words. Send at least one word.")
        return script

    def _check(self) -> None:
        if len(self._pieces) > MAX_PIECES:
            raise BadText(f"The text has more than {MAX_PIECES} pieces. Send it in parts.")


def checked_speed(speed: float, where: str) -> float:
    if not MIN_SPEED <= speed <= MAX_SPEED:
        raise BadText(f"{where} sets speed {speed:g}; expected {MIN_SPEED:g} to {MAX_SPEED:g}. Change it.")
    return speed


def checked_pitch(semitones: float, where: str) -> float:
    if not abs(semitones) <= MAX_PITCH:
        raise BadText(
            f"{where} sets a pitch of {semitones:g} semitones; expected -{MAX_PITCH:g} to {MAX_PITCH:g}. Change it."
        )
    return semitones


def checked_pause(duration_s: float, where: str) -> float:
    if not 0 <= duration_s <= MAX_PAUSE_S:
        raise BadText(f"{where} sets a pause of {duration_s:g} s; expected 0 to {MAX_PAUSE_S:g} s. Change it.")
    return duration_s
