"""The Lossless pages and their client, with a real backend behind a fake engine."""

import pytest

from tests.support.fake_engine import FakeEngine
from tests.support.pcm_files import music, wav_bytes
from tests.support.served import served
from ui.client import BackendClient, BackendError

SOUND = wav_bytes(music(5000, 2), 2)


@pytest.fixture(scope="module")
def url():
    with served(FakeEngine()) as url:
        yield url


def test_client_sends_a_file_there_and_back(url):
    client = BackendClient(url)
    packed = client.compress_lossless(SOUND, level=1)
    assert client.decompress_lossless(packed) == SOUND
    survey = client.inspect_lossless(packed)
    sizes = survey.sizes()
    assert list(sizes) == ["Audio file", "FLAC", "Phonogram"] and sizes["Phonogram"] == len(packed)
    assert len(survey.piece_bits) == 2 and survey.sample_rate_hz == 44100
    with pytest.raises(BackendError, match="expected a WAV or AIFF"):
        client.compress_lossless(b"no sound at all")
    client.close()


def test_streamlit_page_asks_for_a_file_and_shows_what_was_made(url):
    pytest.importorskip("streamlit")
    from streamlit.testing.v1 import AppTest

    from ui.streamlit_pages.lossless import COMPRESSED, Compressed

    client = BackendClient(url)
    packed = client.compress_lossless(SOUND, level=1)
    script = f"""
from ui.client import BackendClient
from ui.streamlit_pages import lossless
lossless.show(BackendClient({url!r}))
"""
    page = AppTest.from_string(script, default_timeout=30)
    page.session_state[COMPRESSED] = Compressed(packed, "song.wav.pgl", client.inspect_lossless(packed))
    page.run()
    assert not page.exception
    assert [card.label for card in page.metric] == ["Audio file", "FLAC", "Phonogram"]
    next(button for button in page.button if button.label == "Compress").click().run()
    assert "Choose a audio file" in page.error[0].value


def test_gradio_tab_compresses_and_restores(url, tmp_path):
    gr = pytest.importorskip("gradio")
    from ui.gradio_tabs import lossless

    with gr.Blocks() as page:
        assert lossless.build(BackendClient(url), page) == []
    run = next(one.fn for one in page.fns.values() if one.api_name == "lossless")
    source = tmp_path / "song.wav"
    source.write_bytes(SOUND)
    table, packed, picture = run(str(source), 1)
    assert "| Phonogram |" in table and "| FLAC |" in table and "<svg" in picture
    text, restored, _ = run(packed, 1)
    assert text == f"Restored {len(SOUND)} bytes." and restored.endswith("song.wav")
    with open(restored, "rb") as file:
        assert file.read() == SOUND
    with pytest.raises(gr.Error, match="Choose"):
        run(None, 1)
