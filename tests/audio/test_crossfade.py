import numpy as np
import pytest

from backend.audio.crossfade import CrossfadeStream, fade_edges, fade_in, join
from backend.audio.waveform import Waveform
from backend.data import synthetic
from backend.errors import BadAudio

RATE_HZ = 24000


def largest_jump(samples: np.ndarray) -> float:
    """The largest step between adjacent samples."""
    return float(np.abs(np.diff(samples, axis=1)).max())


def click_energy(samples: np.ndarray) -> float:
    """The largest fourth difference: near zero for low tones, large at a discontinuity."""
    return float(np.abs(np.diff(samples, n=4, axis=1)).max())


def tone(duration_s: float, phase: float = 0.0, frequency_hz: float = 220.0) -> Waveform:
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    return Waveform.of(0.5 * np.sin(2 * np.pi * frequency_hz * time_s + phase), RATE_HZ)


@pytest.mark.parametrize("curve", ["equal_power", "linear"])
@pytest.mark.parametrize("pause_s", [0.0, 0.1])
@pytest.mark.parametrize("phase", [0.2, 3.0, 4.5])
def test_crossfades_are_as_smooth_as_the_signal(curve, pause_s, phase):
    first, second = tone(0.3, 1.2), tone(0.3, phase)
    material = max(largest_jump(first.samples), largest_jump(second.samples))
    joined = join([first, second], pause_s=pause_s, curve=curve)
    # Equal-power gains can add up to sqrt(2); the fade changes by 1 / 480 per sample.
    assert largest_jump(joined.samples) < 1.45 * material
    hard_cut = np.concatenate(
        [first.samples, np.zeros((1, round(pause_s * RATE_HZ)), np.float32), second.samples], axis=1
    )
    assert largest_jump(hard_cut) > 3 * material
    assert click_energy(joined.samples) < 0.05 * click_energy(hard_cut)


def test_crossfaded_speech_has_no_steps():
    # Pieces cut in voiced speech, the worst case.
    pieces = [Waveform(synthetic.speech_like(1.0, RATE_HZ, seed=seed)[:, 2000:-2500], RATE_HZ) for seed in range(6)]
    material = max(largest_jump(piece.samples) for piece in pieces)
    for pause_s in (0.0, 0.05):
        assert largest_jump(join(pieces, pause_s=pause_s).samples) <= 1.01 * material


def test_equal_power_keeps_the_level_of_uncorrelated_signals():
    pieces = [Waveform(synthetic.noise(1.0, RATE_HZ, seed=seed), RATE_HZ) for seed in range(2)]
    joined = join(pieces, overlap_s=0.5).samples[0]
    seam = joined[RATE_HZ // 2 : RATE_HZ]
    assert np.sqrt((seam**2).mean()) == pytest.approx(np.sqrt((pieces[0].samples ** 2).mean()), rel=0.03)


def test_linear_crossfade_of_identical_signals_is_the_identity():
    whole = tone(0.5)
    first, second = Waveform(whole.samples[:, :6480], RATE_HZ), Waveform(whole.samples[:, 6000:], RATE_HZ)
    joined = join([first, second], overlap_s=480 / RATE_HZ, curve="linear")
    np.testing.assert_allclose(joined.samples, whole.samples, atol=1e-6)


@pytest.mark.parametrize("curve", ["equal_power", "linear"])
def test_crossfade_gains_add_up(curve):
    rising = fade_in(480, curve).astype(np.float64)
    total = rising + rising[::-1] if curve == "linear" else rising**2 + rising[::-1] ** 2
    np.testing.assert_allclose(total, 1.0, atol=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_streamed_join_equals_whole_join(seed):
    draw = np.random.default_rng(seed)
    n_channels = int(draw.integers(1, 3))
    overlap = int(draw.integers(0, 200))
    pieces = [draw.uniform(-1, 1, (n_channels, draw.integers(0, 500))).astype(np.float32) for _ in range(7)]
    pauses = [int(draw.integers(0, 300)) if draw.random() < 0.4 else 0 for _ in pieces]
    outputs = []
    for n_cuts in (0, 1, 13):
        joiner = CrossfadeStream(n_channels, overlap)
        parts, n_in = [], 0
        for index, piece in enumerate(pieces):
            if index:
                parts.append(joiner.next_piece(pauses[index]))
                n_in += pauses[index]
            for push in np.split(piece, np.sort(draw.integers(0, piece.shape[1] + 1, n_cuts)), axis=1):
                parts.append(joiner.push(push))
                n_in += push.shape[1]
                # Buffered: one overlap, another one during a transition, plus the samples removed by earlier crossfades.
                n_out = sum(part.shape[1] for part in parts)
                assert n_in - n_out <= 2 * overlap + overlap * index + pauses[index]
        parts.append(joiner.finish())
        outputs.append(np.concatenate(parts, axis=1))
    for output in outputs[1:]:
        assert np.array_equal(output, outputs[0])


def test_crossfade_latency_is_the_overlap():
    joiner = CrossfadeStream(1, 100)
    n_out = sum(joiner.push(np.ones((1, 50), np.float32)).shape[1] for _ in range(20))
    assert n_out == 1000 - 100


def test_length_law_of_crossfades_and_pauses():
    pieces = [tone(0.2), tone(0.3), tone(0.1)]
    assert join(pieces, overlap_s=0.02).n_samples == 14400 - 2 * 480
    assert join(pieces, overlap_s=0.02, pause_s=0.1).n_samples == 14400 + 2 * 2400


def test_pause_is_silent_and_only_its_edges_are_faded():
    joined = join([tone(0.2), tone(0.2)], overlap_s=0.01, pause_s=0.1).samples
    assert not joined[:, 4800:7200].any()
    np.testing.assert_array_equal(joined[:, : 4800 - 240], tone(0.2).samples[:, : 4800 - 240])


def test_pieces_shorter_than_the_overlap_and_empty_ones_join():
    pieces = [tone(0.1), tone(0.001), Waveform(np.zeros((1, 0), np.float32), RATE_HZ), tone(0.1)]
    joined = join(pieces, overlap_s=0.02)
    assert np.isfinite(joined.samples).all()
    assert joined.n_samples == 2400 + 24 + 2400 - 24 - 24


def test_fade_edges_starts_and_ends_near_zero_and_keeps_the_middle():
    whole = Waveform.of(np.full(4800, 0.5), RATE_HZ)
    faded = fade_edges(whole).samples[0]
    assert abs(faded[0]) < 0.001 and abs(faded[-1]) < 0.001
    assert (faded[480:-480] == 0.5).all() and (whole.samples == 0.5).all()


def test_mixed_formats_and_misuse_are_rejected():
    with pytest.raises(BadAudio, match="one kind"):
        join([tone(0.1), Waveform(np.zeros((2, 100), np.float32), RATE_HZ)])
    with pytest.raises(BadAudio, match="no pieces"):
        join([])
    joiner = CrossfadeStream(1, 10)
    with pytest.raises(BadAudio, match="takes"):
        joiner.push(np.zeros((2, 5), np.float32))
    with pytest.raises(BadAudio, match="pause"):
        joiner.next_piece(-1)
    joiner.finish()
    with pytest.raises(RuntimeError, match="finished"):
        joiner.push(np.zeros((1, 5), np.float32))
