"""A whole piece from a request and a seed: plan, form, harmony, parts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from random import Random

from backend.errors import BadRequest
from backend.music import accompaniment, harmony
from backend.music.drums import drum_notes
from backend.music.instruments import INSTRUMENTS, GmInstrument, instrument
from backend.music.melody import PLANS, MelodyWriter, Motif, PhrasePlan, harmonized, motif
from backend.music.moods import MOODS, mood_of
from backend.music.orchestration import MAX_PARTS, assign_roles, is_polyphonic
from backend.music.score import ChordSpan, Note, Part, Score, Section
from backend.music.styles import STYLES, Style, style
from backend.music.theory import MODES, Chord, Key, Meter

MIN_TEMPO_BPM, MAX_TEMPO_BPM = 60, 180
MIN_DURATION_S, MAX_DURATION_S = 4.0, 1800.0
# The last bar is one held chord: it may be faded out, and rings on for about this long after its end.
TAIL_S, LAST_BAR_SHARE = 0.8, 0.3
FORMS = {1: "A", 2: "A A'", 3: "A B A", 4: "A A' B A", 5: "A A' B A B", 6: "A A' B A C A", 7: "A A' B A C B A"}
ENDLESS_FORM = ("A", "A'", "B", "A", "C", "B", "A'", "C")
ENERGY = {"intro": -0.25, "A": 0.0, "A'": 0.08, "B": 0.18, "C": -0.15, "outro": -0.2}


@dataclass(frozen=True, slots=True)
class CompositionRequest:
    """What a piece must be; what is None is chosen by the seed. `tempo_bpm` counts beats of the meter;
    `tempo_range` and `mode` leave the exact tempo and the tonic to the seed.

    `instruments`: these play, in roles that suit them; `without`: names or families that must not.
    """

    seed: int = 0
    duration_s: float = 30.0
    tempo_bpm: int | None = None
    tempo_range: tuple[int, int] | None = None
    key: Key | None = None
    mode: str | None = None
    meter: Meter | None = None
    genre: str | None = None
    mood: str | None = None
    instruments: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    n_parts: int | None = None
    swing: float | None = None

    def __post_init__(self) -> None:
        _require("duration_s", self.duration_s, MIN_DURATION_S, MAX_DURATION_S, "seconds")
        if self.tempo_bpm is not None:
            _require("tempo_bpm", self.tempo_bpm, MIN_TEMPO_BPM, MAX_TEMPO_BPM, "beats a minute")
        if self.tempo_range is not None:
            low, high = self.tempo_range
            _require("tempo_range", low, MIN_TEMPO_BPM, high, "beats a minute")
            _require("tempo_range", high, low, MAX_TEMPO_BPM, "beats a minute")
        if self.mode is not None and self.mode not in MODES:
            raise BadRequest(f"The mode is '{self.mode}'; expected one of {', '.join(MODES)}.", "mode")
        if self.n_parts is not None:
            _require("n_parts", self.n_parts, 1, MAX_PARTS, "instruments")
        if self.swing is not None:
            _require("swing", self.swing, 0, 1, "of a triplet")
        if self.genre is not None:
            style(self.genre)
        if self.mood is not None and self.mood not in MOODS:
            raise BadRequest(f"The mood is '{self.mood}'; expected one of {', '.join(MOODS)}.", "mood")
        for name in self.instruments:
            instrument(name)
        if len(self.instruments) > MAX_PARTS:
            raise BadRequest(
                f"{len(self.instruments)} instruments were asked for; {MAX_PARTS} can play. Name fewer.", "instruments"
            )


def _require(name: str, value: float, low: float, high: float, unit: str) -> None:
    if not low <= value <= high:
        raise BadRequest(f"{name} is {value:g}; expected {low:g} to {high:g} {unit}.", name)


def compose(request: CompositionRequest) -> Score:
    """The piece of this request: the same request gives the same score."""
    return _Composition(request).score()


class _Composition:
    """One piece in the making. Every choice has a random stream of its own, named by what it decides."""

    def __init__(self, request: CompositionRequest):
        self.request = request
        self.genre = request.genre or self._genre()
        self.style: Style = STYLES[self.genre]
        rng = self.rng("plan")
        self.meter = request.meter or Meter.parse(rng.choice(self.style.meters))
        self.key = request.key or Key(rng.randrange(12), self._mode(rng))
        self.tempo_bpm = request.tempo_bpm or self._tempo(rng)
        self.energy = rng.uniform(*MOODS[request.mood].energy) if request.mood else self.style.energy
        is_straight = self.meter.is_compound or self.style.swing[1] == 0
        default_swing = 0.0 if is_straight else round(rng.uniform(*self.style.swing), 2)
        self.swing = default_swing if request.swing is None else request.swing
        self.density = rng.uniform(*self.style.density) * (1.2 - self.tempo_bpm / 450)
        bar_s = self.meter.n_beats * 60 / self.tempo_bpm
        self.n_bars = max(2, int((request.duration_s - TAIL_S) / bar_s + LAST_BAR_SHARE))

    def rng(self, name: str) -> Random:
        return Random(f"{self.request.seed}/{name}")

    def _genre(self) -> str:
        """A genre whose instruments and tempo fit what was asked for best."""
        asked, rng = self.request, self.rng("genre")

        def fit(name: str) -> float:
            one = STYLES[name]
            every = (*one.lead, *one.chords, *one.bass, *one.pad, *one.drums)
            low, high = one.tempo_bpm
            score = 2.0 * sum(wanted in every for wanted in asked.instruments)
            if asked.tempo_bpm is not None:
                score += 1.0 if low <= asked.tempo_bpm <= high else -abs(asked.tempo_bpm - (low + high) / 2) / 60
            if asked.mood is not None:
                mood = MOODS[asked.mood]
                score += 1.5 * (low <= mood.tempo_bpm[1] and high >= mood.tempo_bpm[0]) - abs(
                    one.energy - sum(mood.energy) / 2
                )
            if asked.meter is not None:
                score += 1.5 * (asked.meter.name in one.meters)
            if asked.key is not None:
                score += 0.5 * (asked.key.mode in one.modes)
            if "drums" in asked.without:
                score += 0.5 * (not one.drums)
            return score

        fits = {name: fit(name) for name in STYLES}
        best = max(fits.values())
        return rng.choice([name for name, value in fits.items() if value >= best - 0.75])

    def _mode(self, rng: Random) -> str:
        if self.request.mode:
            return self.request.mode
        modes = self.style.modes
        if self.request.mood:
            wanted = MOODS[self.request.mood].modes
            modes = tuple(mode for mode in modes if mode in wanted) or wanted[:1]
        return rng.choice(modes)

    def _tempo(self, rng: Random) -> int:
        if self.request.tempo_range is not None:
            return rng.randint(*self.request.tempo_range)
        low, high = self.style.tempo_bpm
        if self.request.mood:
            mood_low, mood_high = MOODS[self.request.mood].tempo_bpm
            both = max(low, mood_low), min(high, mood_high)
            low, high = both if both[0] <= both[1] else (mood_low, mood_high)
        if self.meter.is_compound:
            low, high = max(MIN_TEMPO_BPM, int(low * 0.72)), max(MIN_TEMPO_BPM + 4, int(high * 0.72))
        return rng.randint(low, high)

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        unit = 8 if self.n_bars >= 20 else 4
        n_whole, rest = divmod(self.n_bars, unit)
        if n_whole == 0:
            return (Section("A", 0, self.n_bars),)
        has_intro = rest >= 2 and self.rng("form").random() < 0.7
        letters = FORMS[n_whole].split() if n_whole in FORMS else [
            ENDLESS_FORM[i % len(ENDLESS_FORM)] for i in range(n_whole - 1)] + ["A"]  # fmt: skip
        lengths = [(letter, unit) for letter in letters]
        if rest:
            lengths = [("intro", rest), *lengths] if has_intro else [*lengths, ("outro", rest)]
        found, bar = [], 0
        for label, n_bars in lengths:
            found.append(Section(label, bar, n_bars))
            bar += n_bars
        return tuple(found)

    def section_of(self, bar: int) -> Section:
        return next(s for s in self.sections if s.first_bar <= bar < s.first_bar + s.n_bars)

    def section_energy(self, section: Section) -> float:
        return max(0.1, min(1.0, self.energy + ENERGY[section.label]))

    @cached_property
    def chords(self) -> tuple[ChordSpan, ...]:
        bars: list[list[Chord]] = []
        tonic = self.key.chord("i" if self.key.is_minor else "I")
        for section in self.sections:
            letter = section.label[0] if section.label[0].isupper() else section.label
            rng, own = self.rng(f"harmony/{letter}"), []
            if section.label == "outro":
                own = [[tonic]] * section.n_bars
            else:
                left = section.n_bars
                while left > 0:
                    # A remainder of one or two bars joins the phrase before it.
                    n = left if left <= 5 else 4
                    is_closed = left == n and section.label != "intro"
                    phrase = harmony.phrase(self.style.harmony, self.key, n, is_closed, rng)
                    if letter == "A" and not own:
                        # The first theme says what the key is.
                        options = [
                            phrase,
                            *(harmony.phrase(self.style.harmony, self.key, n, is_closed, rng) for _ in range(7)),
                        ]
                        phrase = next((bars for bars in options if bars[0][0].root == self.key.tonic), phrase)
                    own += phrase
                    left -= n
            bars += own
        bars[-1] = [tonic]
        return harmony.spans(bars, self.meter)

    @cached_property
    def roles(self) -> dict[str, str]:
        """Role to instrument, in the order they are written."""
        asked = self.request
        return assign_roles(
            self.style, asked.instruments, asked.without, asked.n_parts, self.energy, self.rng("instruments")
        )

    def _bars(self, role: str) -> list[int]:
        """The bars in which a role plays."""
        silent: set[str] = set()
        if role in ("melody", "counter"):
            silent = {"intro"} | ({"A"} if role == "counter" else set())
        elif role == "pad":
            silent = {"A"} if len(self.sections) > 2 else set()
        elif role == "drums" and self.energy < 0.7:
            silent = {"intro"}
        if silent >= {section.label for section in self.sections}:
            silent = set()
        return [b for s in self.sections if s.label not in silent for b in range(s.first_bar, s.first_bar + s.n_bars)]

    def _melody_range(self, player: GmInstrument) -> tuple[int, int]:
        centre = min(max(72 if self.energy > 0.3 else 69, player.low + 10), player.high - 7)
        return max(player.low, centre - 10), min(player.high, centre + 10)

    def melody(self, player: GmInstrument) -> list[Note]:
        low, high = self._melody_range(player)
        writer = MelodyWriter(self.key, self.meter, low, high)
        notes: list[Note] = []
        playing = set(self._bars("melody"))
        for section in self.sections:
            if section.first_bar not in playing:
                continue
            if section.label == "outro":
                at = notes[-1].pitch if notes else writer.centre
                start = section.first_bar * self.meter.bar_quarters
                goal = accompaniment.nearest(at, (self.key.tonic,), low, high)
                notes.append(Note(start, self.meter.bar_quarters, goal, 80))
                continue
            letter = section.label[0]
            rng = self.rng(f"melody/{letter}")
            density = self.density + {"B": 0.25, "C": -0.2}.get(letter, 0.0)
            motifs: dict[str, Motif] = {name: motif(self.meter, density, rng) for name in "ab"}
            plan = rng.choice(PLANS)
            varied = self.rng(f"melody/{section.label}")
            centre = writer.centre + (3 if letter == "B" else 0)
            left, bar = section.n_bars, section.first_bar
            while left > 0:
                n = left if left <= 5 else 4
                bars = plan if section.label == letter or left > n else varied.choice(PLANS)
                shaped = (*(bars[:-1] * 3)[: n - 1], "cadence")
                notes += writer.phrase(motifs, PhrasePlan(shaped, left == n), self.chords, bar, centre)
                left, bar = left - n, bar + n
        return notes

    def score(self) -> Score:
        parts: list[Part] = []
        melody: list[Note] = []
        rng = self.rng("patterns")
        bass_pattern = rng.choice(self.style.bass_patterns)
        letters = {s.label[0] for s in self.sections}
        chord_patterns = {letter: rng.choice(self.style.chord_patterns) for letter in sorted(letters)}
        drum_pattern = rng.choice(self.style.drum_patterns or ("pop", "soft"))
        if "melody" in self.roles:
            melody = self.melody(INSTRUMENTS[self.roles["melody"]])
        for role, name in self.roles.items():
            player, bars = INSTRUMENTS[name], self._bars(role)
            if role == "melody":
                notes = melody
                if len(self.roles) == 1 and is_polyphonic(name):
                    notes = self._solo(player, melody, bass_pattern, chord_patterns)
            elif role == "chords":
                notes = self._chords(player, chord_patterns, bars)
            elif role == "bass":
                notes = self._bass(player, bass_pattern, bars)
            elif role == "drums" and player.is_drums:
                heard = set(bars)
                plan = [
                    (s.label if b in heard else "", self.section_energy(s))
                    for b in range(self.n_bars)
                    for s in (self.section_of(b),)
                ]
                notes = drum_notes(drum_pattern, self.meter, plan, self.rng("drums"))
            elif role == "counter":
                low, high = self._melody_range(player)
                wanted = set(bars)
                lead = [n for n in melody if int(n.start / self.meter.bar_quarters + 1e-6) in wanted]
                notes = harmonized(lead, self.chords, max(player.low, low - 9), high) or self._line(player, 0)
            elif role == "pad":
                notes = accompaniment.pad_part(self.chords, player, bars, self.meter)
            else:
                notes = self._line(player, int(role.split()[-1]))
                role = "line"
            parts.append(Part(name, role, tuple(self._with_energy(notes))))
        parts = [part for part in parts if part.notes]
        busy = len(melody) / max(1.0, self.n_bars * self.meter.n_beats)
        mean = sum(n.pitch for n in melody) / len(melody) if melody else 62.0
        mood = self.request.mood or mood_of(self.key.mode, self.tempo_bpm, busy, mean)
        return Score(
            self.tempo_bpm, self.meter, self.key, tuple(parts), self.n_bars, self.chords, self.sections, self.genre,
            mood, self.swing, self.request.seed,
        )  # fmt: skip

    def _solo(
        self, player: GmInstrument, melody: list[Note], bass_pattern: str, chord_patterns: dict[str, str]
    ) -> list[Note]:
        """Melody and accompaniment on one instrument, the left hand below the right."""
        broken = {
            letter: p if p in ("alberti", "arpeggio", "picking", "half", "rolling") else "half"
            for letter, p in chord_patterns.items()
        }
        below = self._chords(player, broken, list(range(self.n_bars)), 3)
        bass = self._bass(player, "half" if bass_pattern == "walking" else "whole", list(range(self.n_bars)))
        floor = {}
        for note in melody:
            for step in range(int(note.start * 4), int(note.end * 4)):
                floor[step] = note.pitch
        kept = [n for n in below if n.pitch < floor.get(int(n.start * 4), 128)]
        return sorted([*melody, *kept, *bass], key=lambda n: (n.start, n.pitch))

    def _line(self, player: GmInstrument, index: int) -> list[Note]:
        """One long tone of each chord."""
        bars = list(range(self.n_bars))
        return accompaniment.pad_part(self.chords, player, bars, self.meter, 2, keep=index % 2)

    def _by_letter(self, bars: list[int]) -> dict[str, list[int]]:
        groups: dict[str, list[int]] = {}
        for bar in bars:
            groups.setdefault(self.section_of(bar).label[0], []).append(bar)
        return groups

    def _chords(self, player: GmInstrument, patterns: dict[str, str], bars: list[int], n_voices: int = 0) -> list[Note]:
        n_voices = n_voices or (4 if player.family in ("piano", "guitar") and self.style.harmony == "jazz" else 3)
        last, notes = self.n_bars - 1, []
        for letter, own in self._by_letter([bar for bar in bars if bar != last]).items():
            notes += accompaniment.chord_part(patterns[letter], self.chords, self.meter, own, player, n_voices)
        if last in bars:
            notes += accompaniment.chord_part("whole", self.chords, self.meter, [last], player, n_voices)
        return sorted(notes, key=lambda n: (n.start, n.pitch))

    def _bass(self, player: GmInstrument, pattern: str, bars: list[int]) -> list[Note]:
        last, rng = self.n_bars - 1, self.rng("bass")
        notes = accompaniment.bass_line(
            pattern, self.chords, self.key, self.meter, [b for b in bars if b != last], player, rng
        )
        if last in bars:
            notes += accompaniment.bass_line("whole", self.chords, self.key, self.meter, [last], player, rng)
        return notes

    def _with_energy(self, notes: list[Note]) -> list[Note]:
        """Velocities scaled by the section they are in."""
        energies = [0.82 + 0.3 * self.section_energy(self.section_of(bar)) for bar in range(self.n_bars)]
        return [
            Note(
                n.start,
                n.duration,
                n.pitch,
                max(1, min(127, round(n.velocity * energies[int(n.start / self.meter.bar_quarters + 1e-6)]))),
            )
            for n in notes
        ]
