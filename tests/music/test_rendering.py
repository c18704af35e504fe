"""Rendered scores: every instrument sounds at its pitch, stems stay apart, the same score gives the same samples."""

import numpy as np
import pytest

pytest.importorskip("midirenderer")

from backend.errors import BadCheckpoint
from backend.music.composer import CompositionRequest, compose
from backend.music.instruments import DRUM_KEYS, INSTRUMENTS
from backend.music.rendering import Renderer
from backend.music.score import Note, Part, Score
from backend.music.theory import Meter

RATE_HZ = 48_000
# Their fundamental is weak or absent, as in the instruments themselves.
NO_FUNDAMENTAL = {"timpani", "glockenspiel", "celesta", "kalimba", "bell pad", "steel drums"}


@pytest.fixture(scope="module")
def renderer():
    return Renderer()


def score_of(*parts, tempo=120):
    return Score(tempo, Meter(4, 4), None, parts, 1)


def pitch_strength(samples, key):
    """Share of the spectrum's energy within 60 cents of the harmonics of a MIDI key."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    hz = np.fft.rfftfreq(len(samples), 1 / RATE_HZ)
    base = 440 * 2 ** ((key - 69) / 12)
    number = np.maximum(1, np.round(hz / base))
    cents = 1200 * np.abs(np.log2(np.maximum(hz, 1) / (number * base)))
    return spectrum[(cents < 60) & (number <= 12)].sum() / max(spectrum.sum(), 1e-12)


@pytest.mark.parametrize("name", [n for n, one in INSTRUMENTS.items() if not one.is_drums and n not in NO_FUNDAMENTAL])
def test_instruments_sound_at_the_pitch_of_their_keys(renderer, name):
    one = INSTRUMENTS[name]
    key = (one.low + one.high) // 2
    (stem,) = renderer.stems(score_of(Part(name, "melody", (Note(0, 2, key, 90),))), RATE_HZ)
    samples = stem.samples[0, 9600:43200]
    assert np.abs(stem.samples).max() > 0.005
    assert pitch_strength(samples, key) > 2 * pitch_strength(samples, key + 1)


def test_every_drum_sounds(renderer):
    for name in ("drums", "electronic drums", "brush drums"):
        notes = tuple(Note(i * 2.0, 0.5, key, 100) for i, key in enumerate(DRUM_KEYS))
        (stem,) = renderer.stems(Score(240, Meter(4, 4), None, (Part(name, "drums", notes),), 16), RATE_HZ)
        step = RATE_HZ // 2
        for i, key in enumerate(DRUM_KEYS):
            assert np.abs(stem.samples[0, i * step : i * step + step // 2]).max() > 1e-3, (name, key)


def test_stems_rendered_in_pairs_equal_stems_rendered_alone(renderer):
    parts = (
        Part("flute", "melody", (Note(0, 2, 72, 90), Note(2, 2, 74, 90))),
        Part("electric bass", "bass", (Note(0, 4, 36, 90),)),
        Part("drums", "drums", (Note(1, 0.5, 38, 100),)),
    )
    together = renderer.stems(score_of(*parts), RATE_HZ)
    for part, stem in zip(parts, together, strict=True):
        (alone,) = renderer.stems(score_of(part), RATE_HZ)
        scale = float((stem.samples * alone.samples).sum() / (alone.samples**2).sum())
        error = stem.samples - scale * alone.samples
        assert np.sqrt((error**2).mean()) < 0.002 * np.sqrt((stem.samples**2).mean())


def test_notes_begin_when_the_score_says(renderer):
    (stem,) = renderer.stems(score_of(Part("drums", "drums", (Note(3, 0.5, 37, 110),)), tempo=90), RATE_HZ)
    loud = np.abs(stem.samples[0]) > 0.02
    assert np.argmax(loud) / RATE_HZ == pytest.approx(2.0, abs=0.01)


def test_the_same_score_gives_the_same_samples_at_any_rate(renderer):
    score = compose(CompositionRequest(seed=4, duration_s=6))
    first, second = renderer.stems(score, 32_000), Renderer().stems(score, 32_000)
    assert all(np.array_equal(a.samples, b.samples) for a, b in zip(first, second, strict=True))
    assert {stem.n_samples for stem in first} == {round((score.duration_s + 2.5) * 32_000)}


def test_loud_parts_do_not_clip(renderer):
    chord = tuple(Note(0, 4, key, 127) for key in range(48, 84, 2))
    (stem,) = renderer.stems(score_of(Part("distorted guitar", "chords", chord)), RATE_HZ)
    samples = np.abs(stem.samples[0])
    assert (samples > 0.999 * samples.max()).sum() < 20


def test_a_missing_soundfont_is_named(tmp_path):
    with pytest.raises(BadCheckpoint, match=r"none\.sf3"):
        Renderer(tmp_path / "none.sf3")
