"""The client of the web pages against the server: timed speech and WebSocket sessions."""

import pytest

from tests.support.fake_engine import PIECE_SAMPLES, FakeEngine
from tests.support.served import served, within
from tests.support.speech_socket import pcm_of
from ui.client import BackendClient, BackendError
from ui.speech_session import SpeechSessionError


@pytest.fixture
def engine():
    engine = FakeEngine()
    yield engine
    engine.go_on.set()


def test_timed_speech_and_subtitles(engine):
    with served(engine) as url:
        client = BackendClient(url)
        timed = client.timed_speech("Hello there.", {"seed": 3, "voice": None})
        assert timed.audio == client.speak("Hello there.", {"seed": 3}).audio
        assert client.subtitles("Hello there.", {"seed": 3}, "vtt").startswith("WEBVTT")
        client.close()
    (sentence,) = timed.sentences
    assert timed.has_words and [word.text for word in sentence.words] == ["Hello", "there."]
    assert sentence.end_s == timed.duration_s


def test_session_over_a_real_websocket(engine):
    with served(engine, api_key="a-key-of-some-length") as url:
        client = BackendClient(url, "a-key-of-some-length")
        with client.open_session(voice="hum", pace=0, timings=True) as session:
            for piece in ("Hello the", "re. And", " more."):
                session.send_text(piece)
            session.end()
            heard = list(session)
        with pytest.raises(BackendError, match="401"):
            BackendClient(url, "wrong").open_session()
        client.close()
    assert b"".join(one.audio for one in heard) == pcm_of("Hello there.", "And more.")
    assert [one.kind for one in heard].count("timings") == 2 and heard[-1].kind == "done"


def test_barge_in_over_a_real_socket(engine):
    engine.pause_after_samples = PIECE_SAMPLES
    with served(engine) as url, BackendClient(url).open_session(pace=0) as session:
        session.send_text("Something long that is cut off. ")
        session.flush()
        assert engine.paused.wait(5)
        session.cancel()
        heard = iter(session)
        while next(heard).kind != "cancelled":
            pass
        engine.pause_after_samples = 2**62
        session.send_text("Instead this.")
        session.end()
        assert b"".join(one.audio for one in heard) == pcm_of("Instead this.")


def test_websocket_disconnect_stops_the_speech(engine):
    engine.pause_after_samples = PIECE_SAMPLES
    with served(engine) as url:
        client = BackendClient(url)
        session = client.open_session()
        session.send_text("Nobody waits for the end of this. ")
        session.flush()
        assert engine.paused.wait(5)
        session.close()
        within(2.0, lambda: engine.n_cancelled >= 1)
        within(2.0, lambda: client.metrics()["phonogram_open_speeches"] == 0)
        with pytest.raises(SpeechSessionError):
            session.send_text("x")
        client.close()
