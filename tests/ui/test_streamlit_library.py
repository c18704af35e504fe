"""The Voices and Codec pages, on a client that remembers what it was asked."""

from unittest.mock import create_autospec

import pytest

pytest.importorskip("streamlit")

from streamlit.testing.v1 import AppTest

from tests.ui.test_streamlit_app import field, press
from ui.answers import CodeFileResult, CodeSurvey, Parameter, ReadinessInfo, VoiceInfo
from ui.client import BackendClient, BackendError, ReferenceAudio

HEART = VoiceInfo("af_heart", "Heart", is_builtin=True, description="American")
ANN = VoiceInfo("0f3a", "Ann", duration_s=12.0)
SURVEY = CodeSurvey("spectral-24k", True, 24_000, 50.0, [512, 512], 2, 3, 0.06, 90, 2.0, 0, [[1, 2, 3], [4, 5, 6]])


def script(name, client):
    from importlib import import_module

    import_module(f"ui.streamlit_pages.{name}").show(client)


@pytest.fixture
def client():
    """Has the methods and arguments of the real one, and nothing else."""
    client = create_autospec(BackendClient, instance=True, spec_set=True)
    client.voices.return_value = [HEART, ANN]
    client.ready.return_value = ReadinessInfo(True, False, "Ready to speak.")
    client.parameters.return_value = {"format": Parameter("format", "string", "wav", "", choices=("wav", "mp3"))}
    client.preview_voice.return_value = client.decode.return_value = b"RIFF"
    client.encode.return_value = CodeFileResult(b"PGC", "spectral-24k", 3, 2, 2.0, 0.06)
    client.inspect.return_value = SURVEY
    return client


def opened(name, client):
    page = AppTest.from_function(script, args=(name, client), default_timeout=30).run()
    assert not page.exception
    return page


def press_key(page, key):
    page.button(key=key).click().run()
    assert not page.exception


def test_added_voices_come_before_those_of_the_model_and_only_they_can_change(client):
    page = opened("voices", client)
    assert [heading.value for heading in page.header] == ["Added voices (1)", "Voices of the model (1)"]
    keys = {button.key for button in page.button}
    assert {"hear-af_heart", "hear-0f3a", "rename-0f3a", "delete-0f3a"} <= keys
    assert not {"rename-af_heart", "delete-af_heart"} & keys


def test_voice_is_heard_once_it_is_asked_for(client):
    page = opened("voices", client)
    client.preview_voice.assert_not_called()
    press_key(page, "hear-af_heart")
    client.preview_voice.assert_called_once_with("af_heart")
    assert len(page.get("audio")) == 1


def test_voice_is_renamed_and_deleted_only_after_a_second_word(client):
    page = opened("voices", client)
    page.text_input(key="name-0f3a").input("Anna").run()
    press_key(page, "rename-0f3a")
    client.rename_voice.assert_called_once_with("0f3a", "Anna")
    assert "“Ann” is now “Anna”" in page.success[0].value
    assert page.button(key="delete-0f3a").disabled
    page.checkbox(key="sure-0f3a").check().run()
    press_key(page, "delete-0f3a")
    client.delete_voice.assert_called_once_with("0f3a")


def test_voice_is_added_with_consent_and_never_without(client):
    page = opened("voices", client)
    field(page.text_input, "Name").input("Bob")
    page.get("file_uploader")[0].set_value(("bob.wav", b"RIFF", "audio/wav"))
    press(page, "Add this voice")
    assert "the speaker's consent" in page.error[0].value
    client.add_voice.assert_not_called()
    page.checkbox[0].check()
    press(page, "Add this voice")
    client.add_voice.assert_called_once_with("Bob", ReferenceAudio(b"RIFF", ""), True)


def test_refusal_of_the_backend_is_shown_as_it_is(client):
    client.voices.side_effect = BackendError("No answer from there.")
    assert "No answer from there." in opened("voices", client).error[0].value
    client.encode.side_effect = BackendError("The sound is too long.")
    page = opened("codec", client)
    page.get("file_uploader")[0].set_value(("a.wav", b"RIFF", "audio/wav"))
    press(page, "Encode")
    assert "The sound is too long." in page.error[0].value


def test_sound_becomes_a_code_file_that_can_be_heard(client):
    page = opened("codec", client)
    page.get("file_uploader")[0].set_value(("a.wav", b"RIFF" * 30, "audio/wav"))
    field(page.number_input, "Codebooks").set_value(2)
    press(page, "Encode")
    client.encode.assert_called_once_with(b"RIFF" * 30, 2)
    client.decode.assert_called_once_with(b"PGC")
    assert {card.label: card.value for card in page.metric}["Smaller by"] == "40 times"
    assert len(page.get("audio")) == 2
    assert "2 codebooks of spectral-24k" in page.caption[-1].value


def test_code_file_becomes_sound_in_the_format_asked_for(client):
    page = opened("codec", client)
    page.get("file_uploader")[1].set_value(("a.pgc", b"PGC", "application/octet-stream"))
    field(page.selectbox, "File format").select("mp3")
    press(page, "Decode")
    client.decode.assert_called_once_with(b"PGC", "mp3")
    assert len(page.get("audio")) == 1
