"""Decode stage: streaming equals whole decoding, independent of frame timing, in chunks of the configured size."""

import time

import numpy as np
import pytest
import torch

from backend.audio.waveform import Waveform
from backend.codes import Codes
from backend.errors import Cancelled, EngineFailure
from backend.pipeline.codec.tasks import DecodeTask, EncodeTask
from backend.pipeline.speech.decode_stage import GROUPS, DecodeStage, SpeechDecodeTask
from backend.runtime.codec_worker import CodecWorker
from backend.runtime.request import SpeechRequest
from backend.runtime.session import Frame, SegmentStart, Session
from backend.runtime.trace import Trace
from backend.weights.fish_codec import fish_codec_from_tensors
from backend.weights.tensor_files import read_tensors
from tests.support.fish_codec_case import CONFIG, GOLDEN
from tests.support.tiny_codecs import TinyCodec

CHUNK = 100
RNG = np.random.default_rng(3)


@pytest.fixture
def codec():
    torch.manual_seed(1)
    return TinyCodec(lag=20).eval()


def random_codes(n_frames):
    return RNG.integers(0, 10, (3, n_frames))


def session():
    return Session(None, time.monotonic() + 30)


def speak(codec, segments, *, latency="balanced", loudness_lufs=None, feed_first=True, pauses=None):
    """Decode segments of codes to audio chunks."""
    one = session()
    synthesis = SpeechDecodeTask(one, codec.spec, chunk_samples=CHUNK, latency=latency, loudness_lufs=loudness_lufs)
    pieces, pauses = [], pauses or [0.0] * len(segments)

    def work():
        with torch.inference_mode():
            while synthesis.is_ready and not synthesis.is_over:
                synthesis.advance(codec)
                # Read the chunks here, as a client would.
                while len(synthesis.pieces):
                    pieces.append(synthesis.pieces.get(1))

    for codes, pause_s in zip(segments, pauses, strict=True):
        one.frames.put(SegmentStart(pause_s))
        for frame in codes.T:
            one.frames.put(Frame(frame))
            if not feed_first:
                work()
    one.frames.finish()
    work()
    while (piece := synthesis.pieces.get(1)) is not None:
        pieces.append(piece)
    return pieces


def whole(pieces):
    return np.concatenate([np.zeros((1, 0), np.float32), *(piece.samples for piece in pieces)], axis=1)


def decoded(codec, codes):
    with torch.inference_mode():
        return codec.decode(Codes(torch.from_numpy(codes)[None], "tiny"))[0].numpy()[:, codec.spec.latency_samples :]


@pytest.mark.parametrize("latency", GROUPS)
@pytest.mark.parametrize("n_frames", [1, 2, 7, 8, 33, 100])
def test_streaming_decode_equals_whole_decode(codec, latency, n_frames):
    codes = random_codes(n_frames)
    sound = whole(speak(codec, [codes], latency=latency))
    np.testing.assert_allclose(sound, decoded(codec, codes), atol=1e-5)


@pytest.mark.parametrize("latency", GROUPS)
def test_frame_timing_does_not_change_chunks_or_samples(codec, latency):
    segments = [random_codes(n) for n in (30, 3, 17)]
    at_once, one_by_one = (speak(codec, segments, latency=latency, feed_first=first) for first in (True, False))
    assert [piece.n_samples for piece in at_once] == [piece.n_samples for piece in one_by_one]
    np.testing.assert_array_equal(whole(at_once), whole(one_by_one))


def test_chunks_have_the_configured_size_after_the_first_ones(codec):
    sizes = {latency: [p.n_samples for p in speak(codec, [random_codes(80)], latency=latency)] for latency in GROUPS}
    assert set(sizes["normal"][:-1]) == {CHUNK}
    n_early = int(np.searchsorted(np.cumsum(sizes["balanced"]), CHUNK)) + 1
    assert n_early > 1 and max(sizes["balanced"][:n_early]) <= CHUNK
    assert set(sizes["balanced"][n_early:-1]) == {CHUNK}
    assert max(sizes["low"]) <= CHUNK


# Real-time factor of the slowest machine that each latency mode supports.
SLOWEST_RTF = {"low": 0.85, "balanced": 0.75, "normal": 0.75}


@pytest.mark.parametrize("latency", GROUPS)
def test_no_group_causes_an_underrun_over_100_ms(latency):
    frame_rate_hz, rtf, groups = 25, SLOWEST_RTF[latency], GROUPS[latency]
    for n_played, n_next in zip(np.cumsum(groups), [*groups[1:], groups[-1]], strict=True):
        # Playback starts with the first group; the next group is generated while the current ones play.
        late_s = ((n_played + n_next - groups[0]) * rtf - n_played) / frame_rate_hz
        assert late_s <= 0.1 + 1e-9


def test_codec_thread_wakes_only_for_complete_groups(codec, monkeypatch):
    worker, woken = CodecWorker(codec), []
    monkeypatch.setattr(worker, "wake", lambda: woken.append(True))
    one = session()
    DecodeStage(worker, CHUNK).run(SpeechRequest(text="a", latency="normal"), one, Trace())
    one.frames.put(SegmentStart())
    for frame in random_codes(6).T:
        one.frames.put(Frame(frame))
    assert not woken
    one.frames.put(Frame(random_codes(1)[:, 0]))
    assert woken


def test_pause_has_its_length_in_silence(codec):
    segments = [random_codes(40), random_codes(40)]
    plain, paused = whole(speak(codec, segments)), whole(speak(codec, segments, pauses=[0.0, 0.5]))
    overlap = round(0.02 * 8000)
    assert paused.shape[1] - plain.shape[1] == 4000 + overlap
    assert not paused[:, 620 : 620 + 4000].any()


def test_leading_pause_is_kept(codec):
    sound = whole(speak(codec, [random_codes(40)], pauses=[0.25]))
    assert not sound[:, :2000].any() and sound[:, 2400:].any()


def test_segment_audio_is_independent_of_the_previous_segment(codec):
    last = random_codes(40)
    one, other = (whole(speak(codec, [random_codes(20), last]))[:, -450:] for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_loudness_normalization_keeps_length_and_shape(codec):
    codes = random_codes(400)
    plain, quiet = whole(speak(codec, [codes])), whole(speak(codec, [codes], loudness_lufs=-40.0))
    assert quiet.shape == plain.shape
    gains = quiet / np.where(np.abs(plain) > 1e-3, plain, np.nan)
    assert np.nanstd(gains) < 1e-5 and np.nanmean(gains) < 1


def test_out_of_range_codes_are_clamped(codec):
    codes = random_codes(10)
    codes[2, 4] = 4000
    np.testing.assert_array_equal(whole(speak(codec, [codes])), whole(speak(codec, [np.minimum(codes, 9)])))


def test_empty_session_yields_no_audio(codec):
    assert speak(codec, [random_codes(0)]) == []


@pytest.fixture
def worker(codec):
    worker = CodecWorker(codec)
    worker.start()
    yield worker
    worker.close()


def test_slow_client_pauses_only_its_own_decoding(codec, worker):
    stage = DecodeStage(worker, CHUNK)
    slow, quick = session(), session()
    streams = [stage.run(SpeechRequest(text="a"), one, Trace()) for one in (slow, quick)]
    for one in (slow, quick):
        one.frames.put(SegmentStart())
        for frame in random_codes(4095 if one is slow else 50).T:
            one.frames.put(Frame(frame))
        one.frames.finish()
    chunks = []
    while (piece := streams[1].pieces.get(5)) is not None:
        chunks.append(piece)
    assert whole(chunks).shape[1] == 50 * 16 - 20
    deadline = time.monotonic() + 5
    while streams[0].is_ready and time.monotonic() < deadline:
        time.sleep(0.005)
    # At most eight seconds and one group of frames are buffered.
    assert streams[0].n_samples <= 8 * 8000 + 8 * 16 + CHUNK
    chunks = []
    while (piece := streams[0].pieces.get(5)) is not None:
        chunks.append(piece)
    assert whole(chunks).shape[1] == 4095 * 16 - 20


def test_cancelling_ends_both_streams_and_removes_the_task(worker):
    one = session()
    synthesis = DecodeStage(worker, CHUNK).run(SpeechRequest(text="a"), one, Trace())
    one.frames.put(SegmentStart())
    synthesis.cancel()
    assert one.frames.is_over
    with pytest.raises(Cancelled):
        synthesis.pieces.get(1)
    worker.worker.call(lambda: None).result(5)
    worker.worker.call(lambda: None).result(5)
    assert worker.n_tasks == 0


def test_codec_error_reaches_the_client(worker, codec):
    one = session()
    synthesis = DecodeStage(worker, CHUNK).run(SpeechRequest(text="a"), one, Trace())
    codec.decode_frames = lambda indices, state: 1 / 0
    one.frames.put(SegmentStart())
    for frame in random_codes(5).T:
        one.frames.put(Frame(frame))
    with pytest.raises(EngineFailure):
        synthesis.pieces.get(5)
    assert one.frames.is_over


def test_encode_and_decode_tasks_equal_direct_calls(worker, codec):
    sound = Waveform.of(RNG.standard_normal(20_000).astype(np.float32) * 0.1, 8000)
    encoding = EncodeTask(sound, codec.spec, with_lag=True)
    worker.add(encoding)
    codes = encoding.future.result(5)
    with torch.inference_mode():
        padded = torch.from_numpy(np.pad(sound.samples, ((0, 0), (0, 20))))[None]
        np.testing.assert_array_equal(codes.indices.numpy(), codec.encode(padded).indices.numpy())
    decoding = DecodeTask(codes, codec.spec)
    worker.add(decoding)
    back = decoding.future.result(5)
    assert 0 <= back.n_samples - sound.n_samples < 16
    np.testing.assert_allclose(back.samples, decoded(codec, codes.indices[0].numpy()), atol=1e-5)


def test_closing_the_codec_worker_fails_pending_tasks(codec):
    worker = CodecWorker(codec)
    encoding = EncodeTask(Waveform.of(np.ones(80_000, np.float32), 8000), codec.spec)
    worker.add(encoding)
    worker.start()
    worker.close()
    with pytest.raises(EngineFailure):
        encoding.future.result(5)
        pytest.skip("the work was done before closing")


@torch.inference_mode()
def test_fish_codec_round_trip_on_the_codec_thread():
    codec = fish_codec_from_tensors(read_tensors(GOLDEN / "codec.safetensors"), **CONFIG)
    rate_hz, hop = codec.spec.sample_rate_hz, codec.spec.hop_samples
    sound = Waveform.of(RNG.standard_normal(9 * hop + 5).astype(np.float32) * 0.1, rate_hz)
    worker = CodecWorker(codec)
    worker.start()
    encoding = EncodeTask(sound, codec.spec, with_lag=True)
    worker.add(encoding)
    codes = encoding.future.result(30)
    decoding = DecodeTask(codes, codec.spec)
    worker.add(decoding)
    back = decoding.future.result(30)
    worker.close()
    padded = np.pad(sound.samples, ((0, 0), (0, codes.n_frames * hop - sound.n_samples)))
    np.testing.assert_array_equal(codes.indices.numpy(), codec.encode(torch.from_numpy(padded)[None]).indices.numpy())
    assert 0 <= back.n_samples - sound.n_samples < hop
    np.testing.assert_allclose(back.samples, codec.decode(codes)[0].numpy()[:, : back.n_samples], atol=1e-4)
