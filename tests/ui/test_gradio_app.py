"""The Gradio page against a fake backend."""

import pytest

gr = pytest.importorskip("gradio")
gradio_client = pytest.importorskip("gradio_client")

from tests.ui.fake_backend import fake_backend  # noqa: E402
from ui.client import BackendClient  # noqa: E402
from ui.gradio_app import THEME, build_page  # noqa: E402


def served(url):
    page = build_page(BackendClient(url))
    _, address, _ = page.launch(
        server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, theme=THEME, inbrowser=False
    )
    return page, address


def test_page_shows_the_backends_health():
    with fake_backend() as (url, _):
        page, address = served(url)
        try:
            state, table = gradio_client.Client(address, verbose=False).predict(api_name="/health")
        finally:
            page.close()
    assert "is up" in state
    assert ["Version", "9.8.7"] in table["data"]


def test_page_says_so_when_the_backend_is_away():
    with fake_backend() as (url, _):
        pass
    page, address = served(url)
    try:
        state, table = gradio_client.Client(address, verbose=False).predict(api_name="/health")
    finally:
        page.close()
    assert "cannot be reached" in state
    assert not any(cell for row in table["data"] for cell in row)
