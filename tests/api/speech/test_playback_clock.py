"""Where a listener runs out of sound, by hand."""

import pytest

from backend.api.speech.playback_clock import PlaybackClock


def heard(*pieces, arrived_s=100.0):
    playback = PlaybackClock(arrived_s)
    for at_s, duration_s in pieces:
        playback.sent(duration_s, arrived_s + at_s)
    return playback


def test_sound_that_comes_in_time_has_no_underrun():
    playback = heard((0.3, 0.5), (0.7, 0.5), (1.3, 0.5))
    assert (playback.n_underruns, playback.underrun_s) == (0, 0.0)
    assert playback.first_audio_s == pytest.approx(0.3) and playback.total_s == pytest.approx(1.3)


def test_a_late_piece_is_silence_until_it_comes_and_delays_what_follows():
    # Runs out at 0.8 and again at 1.5 + 0.5, where the last piece is 0.1 late.
    playback = heard((0.3, 0.5), (1.5, 0.5), (2.1, 0.5))
    assert playback.n_underruns == 2
    assert playback.underrun_s == pytest.approx(0.7 + 0.1) and playback.longest_underrun_s == pytest.approx(0.7)


def test_gaps_nobody_hears_are_not_counted():
    assert heard((0.3, 0.5), (0.815, 0.5)).n_underruns == 0


def test_how_far_ahead_the_listener_is():
    playback = heard((0.3, 0.5), (0.4, 0.5))
    assert playback.ahead_s(100.5) == pytest.approx(0.8)
    assert playback.ahead_s(105.0) == 0.0
    assert PlaybackClock(0.0).ahead_s(1.0) == 0.0
