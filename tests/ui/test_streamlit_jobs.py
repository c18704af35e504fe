"""The Jobs page, on a mock client."""

import pytest

pytest.importorskip("streamlit")

from tests.support.streamlit_page import autospec_client, field, open_page, press, press_key
from ui.client import BackendError

BOOK = {
    "id": "b1", "title": "Two tales", "state": "done", "reason": "", "format": "m4b", "n_sentences": 2, "n_done": 2,
    "audio_s": 5.0, "file_bytes": 2_000_000,
}  # fmt: skip
RUNNING = BOOK | {"id": "b2", "title": "A novel", "state": "speaking", "n_done": 1, "n_sentences": 4, "file_bytes": 0}
PAUSED = RUNNING | {"id": "b3", "state": "paused", "reason": "The server was stopped."}
TAKES = [{"take": 0, "state": "done"}, {"take": 1, "state": "done"}]
SENTENCE = {"index": 0, "text": "Once upon a time.", "state": "done", "reason": "", "take": 1, "takes": TAKES}


@pytest.fixture
def client():
    client = autospec_client()
    client.jobs.return_value = [BOOK, RUNNING, PAUSED]
    client.job.return_value = BOOK | {"sentences": [SENTENCE, SENTENCE | {"index": 1, "takes": TAKES[:1], "take": 0}]}
    client.sentence_audio.return_value = b"fLaC"
    client.new_take.return_value = {"take": 2}
    return client


def test_each_state_offers_its_actions(client):
    page = open_page("jobs", client)
    keys = {button.key for button in page.button if button.key}
    assert {"pause-b2", "cancel-b2", "resume-b3", "delete-b3", "delete-b1"} <= keys
    assert not {"pause-b1", "resume-b2", "delete-b2", "pause-b3"} & keys
    assert any("The server was stopped." in one.value for one in page.caption)


@pytest.mark.parametrize(
    ("key", "method"),
    [("pause-b2", "pause_job"), ("cancel-b2", "cancel_job"), ("resume-b3", "resume_job"), ("delete-b1", "delete_job")],
)
def test_button_acts_on_its_own_job(client, key, method):
    press_key(open_page("jobs", client), key)
    getattr(client, method).assert_called_once_with(key.rpartition("-")[2])


def test_job_needs_either_a_text_or_a_document(client):
    page = open_page("jobs", client)
    press(page, "Start job")
    assert "not both" in page.error[0].value
    field(page.text_area, "Text").input("# One\n\nHello.")
    field(page.text_input, "Title").input("My book")
    press(page, "Start job")
    text, document, options = client.create_job.call_args.args
    assert (text, document) == ("# One\n\nHello.", b"")
    assert options["title"] == "My book" and options["format"] == "m4b"
    assert "Job started." in page.success[0].value


def test_sentence_is_played_regenerated_and_an_older_take_chosen(client):
    page = open_page("jobs", client)
    press_key(page, "play-b1-0")
    client.sentence_audio.assert_called_once_with("b1", 0)
    assert len(page.get("audio")) == 1
    press_key(page, "take-b1-0")
    client.new_take.assert_called_once_with("b1", 0)
    client.choose_take.assert_called_once_with("b1", 0, 2)
    page.selectbox(key="pick-b1-0-2").select(0).run()
    client.choose_take.assert_called_with("b1", 0, 0)


def test_error_of_an_action_is_shown(client):
    client.pause_job.side_effect = BackendError("It has ended already.")
    page = open_page("jobs", client)
    press_key(page, "pause-b2")
    assert "It has ended already." in page.error[0].value
