"""The client's methods for voices and code files, against the real routes."""

import numpy as np
import pytest

from backend.audio.files import encode_audio, read_audio
from backend.audio.waveform import Waveform
from tests.support.fake_engine import FakeEngine
from tests.support.served import served
from ui.client import BackendClient, BackendError
from ui.speech import message_of

SOUND = encode_audio(Waveform.of(0.7 * np.sin(np.arange(8000) / 5).astype(np.float32), 8000), "wav")


@pytest.fixture(scope="module")
def client():
    with served(FakeEngine()) as url:
        client = BackendClient(url)
        yield client
        client.close()


def test_audio_is_encoded_to_a_code_file_and_decoded(client):
    file = client.encode(SOUND, 1)
    assert (file.codec, file.n_frames, file.n_codebooks, file.duration_s) == ("hum", 50, 1, 1.0)
    assert file.kbps == pytest.approx(len(file.content) * 8 / 1000, abs=1e-3)
    assert read_audio(client.decode(file.content, "flac")).n_samples == 8000
    info = client.inspect(file.content, start_frame=2, max_frames=3)
    assert info.is_decodable and info.n_frames == 50 and np.array(info.codes).shape == (1, 3)


def test_invalid_file_is_rejected_with_a_message(client):
    for call in (client.encode, client.decode, client.inspect):
        with pytest.raises(BackendError, match="returned 400: "):
            call(b"nonsense")


def test_voice_is_renamed_previewed_and_measured(client):
    assert client.rename_voice("hum", "Bee").name == "Bee"
    assert client.voices()[0].name == "Bee"
    assert read_audio(client.preview_voice("hum", "flac")).duration_s > 0.5
    assert client.voice_similarity("hum") == 0.875


@pytest.mark.parametrize("voice_id", ["../ready", "a/b", "?x", "hum#"])
def test_voice_id_is_escaped_in_the_path(client, voice_id):
    for call in (client.preview_voice, client.voice_similarity, client.delete_voice):
        with pytest.raises(BackendError, match="returned 40[04]"):
            call(voice_id)


def test_ignored_text_is_shown_unescaped():
    engine = FakeEngine()
    engine.ignored = ("Not spoken: '你好' 😀 and 5% more.",)
    with served(engine) as url:
        client = BackendClient(url)
        message = message_of(client.speak("Hello.", {}))
        client.close()
    assert message.endswith(engine.ignored[0])
