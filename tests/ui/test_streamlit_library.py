"""The Voices and Codec pages, on a mock client."""

import pytest

pytest.importorskip("streamlit")

from tests.support.streamlit_page import autospec_client, field, open_page, press, press_key
from ui.client import BackendError, ReferenceAudio


@pytest.fixture
def client():
    return autospec_client()


def test_added_voices_are_listed_first_and_only_they_can_be_edited(client):
    page = open_page("voices", client)
    assert [heading.value for heading in page.header] == ["Added voices (1)", "Built-in voices (1)"]
    keys = {button.key for button in page.button}
    assert {"play-af_heart", "play-0f3a", "rename-0f3a", "delete-0f3a"} <= keys
    assert not {"rename-af_heart", "delete-af_heart"} & keys


def test_voice_is_previewed_only_on_request(client):
    page = open_page("voices", client)
    client.preview_voice.assert_not_called()
    press_key(page, "play-af_heart")
    client.preview_voice.assert_called_once_with("af_heart")
    assert len(page.get("audio")) == 1


def test_voice_is_renamed_and_deleted_only_after_confirmation(client):
    page = open_page("voices", client)
    page.text_input(key="name-0f3a").input("Anna").run()
    press_key(page, "rename-0f3a")
    client.rename_voice.assert_called_once_with("0f3a", "Anna")
    assert "“Ann” is now “Anna”" in page.success[0].value
    assert page.button(key="delete-0f3a").disabled
    page.checkbox(key="sure-0f3a").check().run()
    press_key(page, "delete-0f3a")
    client.delete_voice.assert_called_once_with("0f3a")


def test_voice_is_added_only_with_consent(client):
    page = open_page("voices", client)
    field(page.text_input, "Name").input("Bob")
    page.get("file_uploader")[0].set_value(("bob.wav", b"RIFF", "audio/wav"))
    press(page, "Add voice")
    assert "the speaker's consent" in page.error[0].value
    client.add_voice.assert_not_called()
    page.checkbox[0].check()
    press(page, "Add voice")
    client.add_voice.assert_called_once_with("Bob", ReferenceAudio(b"RIFF", ""), True)


def test_error_of_the_backend_is_shown_unchanged(client):
    client.voices.side_effect = BackendError("No answer from there.")
    assert "No answer from there." in open_page("voices", client).error[0].value
    client.encode.side_effect = BackendError("The sound is too long.")
    page = open_page("codec", client)
    page.get("file_uploader")[0].set_value(("a.wav", b"RIFF", "audio/wav"))
    press(page, "Encode")
    assert "The sound is too long." in page.error[0].value


def test_audio_is_encoded_to_a_code_file_and_played(client):
    page = open_page("codec", client)
    page.get("file_uploader")[0].set_value(("a.wav", b"RIFF" * 30, "audio/wav"))
    field(page.number_input, "Codebooks").set_value(2)
    press(page, "Encode")
    client.encode.assert_called_once_with(b"RIFF" * 30, 2)
    client.decode.assert_called_once_with(b"PGC")
    assert {card.label: card.value for card in page.metric}["Compression"] == "40:1"
    assert len(page.get("audio")) == 2
    assert "2 codebooks of spectral-24k" in page.caption[-1].value


def test_code_file_is_decoded_in_the_selected_format(client):
    page = open_page("codec", client)
    page.get("file_uploader")[1].set_value(("a.pgc", b"PGC", "application/octet-stream"))
    field(page.selectbox, "File format").select("mp3")
    press(page, "Decode")
    client.decode.assert_called_once_with(b"PGC", "mp3")
    assert len(page.get("audio")) == 1
