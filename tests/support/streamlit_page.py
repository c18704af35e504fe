"""Streamlit pages under test: run a page, find its widgets, press its buttons."""

from unittest.mock import create_autospec

from streamlit.testing.v1 import AppTest

from ui.client import BackendClient
from ui.responses import CodeFileInfo, CodeFileResult, Parameter, ReadinessInfo, VoiceInfo

BUILT_IN = VoiceInfo("af_heart", "Heart", is_builtin=True, description="American")
ADDED = VoiceInfo("0f3a", "Ann", duration_s=12.0)
CODES = CodeFileInfo("spectral-24k", True, 24_000, 50.0, [512, 512], 2, 3, 0.06, 90, 2.0, 0, [[1, 2, 3], [4, 5, 6]])


def autospec_client():
    """Return a mock with exactly the methods and arguments of `BackendClient`."""
    client = create_autospec(BackendClient, instance=True, spec_set=True)
    client.voices.return_value = [BUILT_IN, ADDED]
    client.ready.return_value = ReadinessInfo(True, False, "Ready to speak.")
    client.parameters.return_value = {"format": Parameter("format", "string", "wav", "", choices=("wav", "mp3"))}
    client.preview_voice.return_value = client.decode.return_value = b"RIFF"
    client.encode.return_value = CodeFileResult(b"PGC", "spectral-24k", 3, 2, 2.0, 0.06)
    client.inspect.return_value = CODES
    return client


def open_page(name, client):
    """Run the page `name` with `client`; fails if it raises."""
    page = AppTest.from_function(_script, args=(name, client), default_timeout=30).run()
    assert not page.exception
    return page


def press(page, label):
    """Click the first button with this label and rerun the page."""
    next(button for button in page.button if button.label == label).click().run()
    assert not page.exception


def press_key(page, key):
    """Click the button with this key and rerun the page."""
    page.button(key=key).click().run()
    assert not page.exception


def field(widgets, label):
    """Return the first widget with this label."""
    return next(widget for widget in widgets if widget.label == label)


def _script(name, client):
    from importlib import import_module

    import_module(f"ui.streamlit_pages.{name}").show(client)
