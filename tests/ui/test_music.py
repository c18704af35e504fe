"""The Music pages and their client, with a real backend and its score engine behind a fake speech engine."""

import io
import zipfile

import pytest

from tests.support.fake_engine import FakeEngine
from tests.support.served import served
from ui.client import BackendClient, BackendError
from ui.music import description
from ui.piano_roll import piano_roll
from ui.responses import MusicPart

ASKED = {"prompt": "Calm piano and flute in A minor with theremin", "duration_s": 4.0, "seed": 3}


@pytest.fixture(scope="module")
def url():
    pytest.importorskip("midirenderer")
    with served(FakeEngine()) as url:
        yield url


@pytest.fixture(scope="module")
def client(url):
    client = BackendClient(url)
    yield client
    client.close()


def test_client_makes_music_stems_midi_and_notes(client):
    piece = client.make_music(ASKED)
    assert piece.audio[:4] == b"RIFF" and piece.labels["key"] == "A minor" and piece.not_understood == "theremin"
    assert "A minor" in piece.summary() and "seed 3" in piece.summary()
    assert client.music_midi(ASKED)[:4] == b"MThd"
    with zipfile.ZipFile(io.BytesIO(client.music_stems(ASKED))) as archive:
        assert "mix.wav" in archive.namelist() and any(name.startswith("stems/") for name in archive.namelist())
    parts = client.music_score(ASKED)
    assert {"piano", "flute"} <= {part.instrument for part in parts} and parts[0].notes
    assert "jazz" in client.music_options().genres
    with pytest.raises(BackendError, match="key"):
        client.make_music({**ASKED, "key": "H minor"})


def test_only_what_was_filled_in_is_sent():
    assert description(" jazz ", None, None, None, "From the description", None) == {"prompt": " jazz ", "seed": 0}
    assert description("jazz", 9, 4, 90, "C major", "3/4") == {
        "prompt": "jazz", "seed": 4, "duration_s": 9.0, "tempo_bpm": 90, "key": "C major", "meter": "3/4",
    }  # fmt: skip
    with pytest.raises(ValueError, match="Describe"):
        description("  ", 9, 0, None, None, None)


def test_piano_roll_draws_every_note_and_says_what_it_shows():
    notes = [{"start_s": i / 2, "duration_s": 0.5, "pitch": 60 + i, "velocity": 90} for i in range(4)]
    drawn = piano_roll([MusicPart("piano", False, notes), MusicPart("<b>drums", True, notes)], 2.0)
    assert drawn.count("<rect") == 8 and "8 notes of piano" in drawn
    assert "<b>" not in drawn and "&lt;b&gt;drums" in drawn
    assert 'x="750.0"' in drawn and 'width="250.0"' in drawn
    assert "<rect" not in piano_roll([], 2.0)


def test_gradio_tab_makes_music_and_keeps_earlier_pieces(client):
    gr = pytest.importorskip("gradio")
    from ui.gradio_tabs import music

    with gr.Blocks() as page:
        assert music.build(client, page) == []
    make = next(one.fn for one in page.fns.values() if one.api_name == "music")
    empty = "From the description"
    path, text, roll, earlier, choices, asked, _, _ = make("piano", 4, 1, None, empty, empty, "wav", [])
    assert path.endswith("music-1.wav") and "bpm" in text and "<svg" in roll and asked["seed"] == 1
    assert len(earlier) == 1 and choices["visible"] is False if isinstance(choices, dict) else True
    _, text, _, earlier, *_ = make("piano", 4, 2, 90, "C major", "3/4", "mp3", earlier)
    assert "C major, 3/4, 90 bpm" in text and [name for name, _ in earlier] == ["piano, seed 2", "piano, seed 1"]
    with pytest.raises(gr.Error, match="Describe"):
        make(" ", 4, 1, None, empty, empty, "wav", [])
    prepare = next(one.fn for one in page.fns.values() if one.fn and one.fn.__name__ == "prepare")
    with pytest.raises(gr.Error):
        prepare(None)


def test_streamlit_page_makes_music(url):
    pytest.importorskip("streamlit")
    from streamlit.testing.v1 import AppTest

    script = f"""
from ui.client import BackendClient
from ui.streamlit_pages import music
music.show(BackendClient({url!r}))
"""
    page = AppTest.from_string(script, default_timeout=60).run()
    make = next(button for button in page.button if button.label == "Make music")
    make.click().run()
    assert "Describe" in page.error[0].value
    page.text_area[0].set_value("calm piano in A minor")
    page.number_input[0].set_value(4)
    next(button for button in page.button if button.label == "Make music").click().run()
    assert not page.exception and not page.error
    assert any("A minor" in block.value for block in page.markdown)
    next(button for button in page.button if button.label == "Prepare stems and MIDI").click().run()
    assert not page.exception and not page.error
