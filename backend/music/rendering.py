"""Scores as sound: one mono stem a part, played by the shipped soundfont."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import numpy as np
import soundfile

from backend.audio.resample import resample
from backend.audio.waveform import Waveform
from backend.errors import BadCheckpoint, NotAvailable
from backend.music.instruments import DRUM_KEYS, INSTRUMENTS
from backend.music.midi import to_midi
from backend.music.score import Note, Part, Score
from backend.music.soundfont import Sample, SoundFont

SHIPPED = Path(__file__).parents[2] / "checkpoints" / "soundfont" / "phonogram-gm.sf3"
# The renderer's own rate, whatever is asked for.
RENDER_HZ = 48_000
VOLUME, PAN, EXPRESSION, REVERB, CHORUS = 7, 10, 11, 91, 93
# Without the low bits, full right is 1.2 % short of it and leaks into the other stem.
FINE_PAN = 42
LEFT, RIGHT = 0, 127
# Full scale on the renderer's 16 bits; a stem that reaches it is played again more softly.
CLIPPED = 0.999
FULL_VOLUME = 110
CACHED_FONTS = 16


class Renderer:
    """Plays scores with one soundfont. Samples are decoded when an instrument is first needed, and kept."""

    def __init__(self, path: Path | None = None):
        path = path or SHIPPED
        if not path.is_file():
            raise BadCheckpoint(
                f"There is no soundfont '{path.name}' in checkpoints/{SHIPPED.parent.name}. "
                "Restore it from the repository, or make it with `phonogram music cut-soundfont`."
            )
        self._engine = _engine()
        self._font = SoundFont.read(path)
        self._pcm: dict[int, Sample] = {}
        self._bytes = lru_cache(CACHED_FONTS)(self._font_of)

    def stems(self, score: Score, rate_hz: int = RENDER_HZ, tail_s: float = 2.5) -> list[Waveform]:
        """One mono waveform a part, all of one length, dry and not leveled.

        Two parts are played at once, hard left and hard right, since the renderer always makes both channels.
        """
        n_samples = round((score.duration_s + tail_s) * rate_hz)
        stems: list[np.ndarray] = []
        drums = [i for i, part in enumerate(score.parts) if INSTRUMENTS[part.instrument].is_drums]
        order = [i for i in range(len(score.parts)) if i not in drums] + drums
        by_part: dict[int, np.ndarray] = {}
        for i in order:
            if not score.parts[i].notes:
                by_part[i] = np.zeros(1, np.float32)
        order = [i for i in order if i not in by_part]
        for first in range(0, len(order), 2):
            pair = order[first : first + 2]
            if len(pair) == 2 and all(i in drums for i in pair):
                # Drum kits share a channel, so each is played alone.
                for i in pair:
                    by_part[i] = self._play(score, [i], FULL_VOLUME)[0]
                continue
            for i, samples in zip(pair, self._play(score, pair, FULL_VOLUME), strict=True):
                by_part[i] = samples
        for i in range(len(score.parts)):
            samples = resample(Waveform.of(by_part[i], RENDER_HZ), rate_hz).samples[0]
            fitted = np.zeros(n_samples, np.float32)
            fitted[: min(n_samples, len(samples))] = samples[:n_samples]
            stems.append(fitted)
        return [Waveform.of(stem, rate_hz) for stem in stems]

    def _play(self, score: Score, chosen: Sequence[int], volume: int) -> list[np.ndarray]:
        """Mono samples of one or two parts at `RENDER_HZ`, played from one MIDI file."""
        parts = [_in_range(score.parts[i]) for i in chosen]
        pans = (LEFT, RIGHT) if len(parts) == 2 else (64,)
        controls = {
            i: {VOLUME: volume, PAN: pan, FINE_PAN: pan if pan != 64 else 0, EXPRESSION: 127, REVERB: 0, CHORUS: 0}
            for i, pan in enumerate(pans)
        }
        midi = to_midi(replace(score, parts=tuple(parts), key=None), controls, has_names=False)
        programs = frozenset((INSTRUMENTS[p.instrument].bank, INSTRUMENTS[p.instrument].program) for p in parts)
        content = self._engine.render_wave_from(self._bytes(programs), midi)
        samples, rate_hz = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
        if rate_hz != RENDER_HZ:
            raise NotAvailable(f"midirenderer plays at {rate_hz} Hz; expected {RENDER_HZ}. Install version 0.1.")
        if np.abs(samples).max(initial=0) >= CLIPPED and volume > 40:
            return self._play(score, chosen, volume // 2)
        channels = (samples[:, 0], samples[:, 1]) if len(parts) == 2 else (samples[:, 0],)
        # A part that was played more softly comes back at the level of the others: volume 127 is 1, half of it a quarter.
        scale = np.float32((FULL_VOLUME / volume) ** 2)
        return [np.ascontiguousarray(channel) * scale for channel in channels]

    def _font_of(self, programs: frozenset[tuple[int, int]]) -> bytes:
        """The soundfont of some instruments, uncompressed, as the renderer takes it."""
        by_number = {(one.bank, one.program): one for one in INSTRUMENTS.values()}
        wanted = {n: frozenset(DRUM_KEYS) if by_number[n].is_drums else by_number[n].keys for n in sorted(programs)}
        font = self._font.cut(wanted)
        return font.with_samples(self._decoded).to_bytes()

    def _decoded(self, sample: Sample) -> Sample:
        if id(sample) not in self._pcm:
            self._pcm[id(sample)] = sample.uncompressed()
        return self._pcm[id(sample)]


def _engine() -> ModuleType:
    try:
        import midirenderer
    except ImportError as error:
        raise NotAvailable(
            "Music cannot be rendered: the package midirenderer has no wheel for this machine, or is not installed. "
            "Install it with `pip install midirenderer`; MIDI files can be written without it."
        ) from error
    return midirenderer


def _in_range(part: Part) -> Part:
    """Notes outside the instrument's keys moved by octaves, since the soundfont was cut to them."""
    one = INSTRUMENTS[part.instrument]
    if one.is_drums:
        return replace(part, notes=tuple(note for note in part.notes if note.pitch in DRUM_KEYS))
    return replace(part, notes=tuple(_moved(note, one.low, one.high) for note in part.notes))


def _moved(note: Note, low: int, high: int) -> Note:
    pitch = note.pitch
    while pitch < low:
        pitch += 12
    while pitch > high:
        pitch -= 12
    return note if pitch == note.pitch else replace(note, pitch=max(pitch, low))
