"""Scores in segments: every note once, at its time; a mix of segments is the mix of the whole."""

import itertools

import numpy as np
import pytest

from backend.audio.waveform import Waveform
from backend.music.composer import CompositionRequest, compose
from backend.music.mixing import MixOptions, mix_stems
from backend.music.performance import perform
from backend.music.segments import fullest_segment, segments_of
from backend.music.streaming_mix import StreamingMix

RATE_HZ = 16_000


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_note_is_in_one_segment_at_its_time(seed):
    score = perform(compose(CompositionRequest(seed=seed, duration_s=40)))
    segments = segments_of(score)
    assert [segment.start_s for segment in segments] == sorted(segment.start_s for segment in segments)
    assert sum(segment.score.n_bars for segment in segments) == score.n_bars
    for i, part in enumerate(score.parts):
        expected = sorted((round(score.time_s(note.start), 4), note.pitch) for note in part.notes)
        found = sorted(
            (round(segment.start_s + segment.score.time_s(note.start), 4), note.pitch)
            for segment in segments
            for note in segment.score.parts[i].notes
        )
        assert [pitch for _, pitch in found] == [pitch for _, pitch in expected]
        assert np.allclose([time_s for time_s, _ in found], [time_s for time_s, _ in expected], atol=2e-3)
    for segment in segments:
        last_s = max((segment.score.time_s(n.end) for p in segment.score.parts for n in p.notes), default=0)
        assert segment.score.duration_s + segment.tail_s >= last_s + 2.4
    fullest = fullest_segment(segments)
    n_playing = [sum(bool(part.notes) for part in segment.score.parts) for segment in segments]
    assert sum(bool(part.notes) for part in fullest.score.parts) == max(n_playing)


def noise(n_samples: int, seed: int) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(n_samples).astype(np.float32)


def test_segments_mix_to_what_the_whole_mixes_to():
    """Below the limiter everything is linear, so a cut piece must sound like one that was not cut."""
    n = 6 * RATE_HZ
    stems = [noise(n, 1), noise(n, 2)]
    roles, options = ["melody", "bass"], MixOptions(loudness_lufs=-30.0, seed=5)
    whole = mix_stems([Waveform.of(stem, RATE_HZ) for stem in stems], roles, options, has_stems=True)
    mix = StreamingMix(roles, RATE_HZ, options, has_stems=True)
    mix.calibrate([Waveform.of(stem, RATE_HZ) for stem in stems])
    pieces, bounds = [], [0, 2 * RATE_HZ, 3 * RATE_HZ, n]
    for start, end in itertools.pairwise(bounds):
        mix.add([Waveform.of(stem[start:end], RATE_HZ) for stem in stems], start)
        pieces.append(mix.take(end))
    pieces.append(mix.rest(n))
    joined = np.concatenate(pieces, axis=2)
    assert joined.shape == (3, 2, n)
    scale = np.abs(whole.mix.samples).max()
    # The loudness of the calibration includes the end of the room, so one factor may differ a little.
    factor = (joined[0] * whole.mix.samples).sum() / (joined[0] ** 2).sum()
    assert factor == pytest.approx(1, abs=0.05)
    assert np.abs(factor * joined[0] - whole.mix.samples).max() < 0.002 * scale
    assert np.abs(joined[1] + joined[2] - joined[0]).max() < 1e-5


def test_the_limiter_holds_over_seams():
    n = 3 * RATE_HZ
    loud = noise(n, 3) * np.where(np.arange(n) > n // 2, 30, 1).astype(np.float32)
    mix = StreamingMix(["melody"], RATE_HZ, MixOptions(loudness_lufs=-16.0))
    mix.calibrate([Waveform.of(loud[: n // 2], RATE_HZ)])
    pieces = []
    for start in range(0, n, n // 6):
        mix.add([Waveform.of(loud[start : start + n // 6], RATE_HZ)], start)
        pieces.append(mix.take(start + n // 6))
    joined = np.concatenate([*pieces, mix.rest(n)], axis=2)
    assert np.abs(joined).max() <= 10 ** (-1 / 20) + 1e-4
