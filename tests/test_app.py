"""The application: health, API key, origins and the error table."""

import subprocess
import sys

import pytest
from fastapi.testclient import TestClient

from backend import __version__, errors
from backend.api.errors import STATUS, status_of
from backend.app import create_app
from backend.settings import ROOT, Settings


def client(**changes):
    app = create_app(Settings(device="cpu", **changes))

    @app.get("/fails")
    def fails():
        raise errors.CodebookMismatch("Codes have 9 codebooks; the codec has 8. Encode again.")

    return TestClient(app)


def test_health_reports_the_system():
    import torch

    with client() as http:
        first, second = http.get("/health").json(), http.get("/health").json()
    assert first["service"] == "phonogram"
    assert first["version"] == __version__
    assert first["device"] == "cpu"
    assert first["device_reason"] == "DEVICE=cpu"
    assert first["torch_version"] == torch.__version__
    assert first["torch_threads"] == torch.get_num_threads()
    assert 0 <= first["uptime_s"] <= second["uptime_s"]


def test_error_response_has_the_message():
    with client() as http:
        answer = http.get("/fails")
    assert answer.status_code == 400
    assert answer.json() == {
        "error": "CodebookMismatch",
        "message": "Codes have 9 codebooks; the codec has 8. Encode again.",
    }


def test_every_error_of_the_tree_has_a_status():
    tree, waiting = [], [errors.PhonogramError]
    while waiting:
        tree.append(waiting.pop())
        waiting += tree[-1].__subclasses__()
    assert len(tree) > 5
    for error in tree:
        assert 400 <= status_of(error.__new__(error)) < 600
    assert set(STATUS) <= set(tree)


@pytest.mark.parametrize("sent", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic key-ä"}])
def test_request_without_the_key_is_refused(sent):
    with client(api_key="key-ä") as http:
        raw = {name: value.encode() for name, value in sent.items()}
        assert http.get("/fails", headers=raw).status_code == 401
        assert http.get("/health", headers=raw).status_code == 200


def test_request_with_the_key_passes():
    with client(api_key="s3cret") as http:
        assert http.get("/fails", headers={"Authorization": "Bearer s3cret"}).status_code == 400


def test_cors_allows_only_the_web_pages():
    with client(gradio_port=7999, host="10.0.0.5") as http:
        for origin in ("http://localhost:7999", "http://127.0.0.1:8501", "http://10.0.0.5:7999"):
            assert http.get("/health", headers={"Origin": origin}).headers["access-control-allow-origin"] == origin
        for origin in ("http://localhost:7860", "http://evil.example", "null"):
            assert "access-control-allow-origin" not in http.get("/health", headers={"Origin": origin}).headers


def test_unavailable_device_stops_the_start():
    with (
        pytest.raises(errors.BadSettings, match="DEVICE is 'cuda:99'"),
        TestClient(create_app(Settings(device="cuda:99"))),
    ):
        pass


def test_bad_setting_ends_the_start_with_one_sentence():
    done = subprocess.run(
        [sys.executable, "-c", "import os; os.environ['PORT'] = '0'; from backend.app import app"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("PORT is '0'")
    assert "Traceback" not in done.stderr
