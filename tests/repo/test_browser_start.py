"""The page opens in a browser only where there is a desktop."""

import pytest

import launch
from launcher.start import has_desktop


@pytest.mark.parametrize(
    ("environment", "platform", "expected"),
    [
        ({"DISPLAY": ":0"}, "linux", True), ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True), ({}, "linux", False),
        ({}, "darwin", True), ({}, "win32", True), ({"SSH_CONNECTION": "a", "DISPLAY": ":10"}, "linux", False),
    ],
)  # fmt: skip
def test_browser_opens_only_on_a_desktop(environment, platform, expected):
    assert has_desktop(environment, platform) is expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ("all", True)), (["--no-browser"], ("all", False)), (["start"], ("all", True)),
        (["start", "streamlit", "--no-browser"], ("streamlit", False)),
    ],
)  # fmt: skip
def test_no_browser_is_passed_to_the_start(monkeypatch, arguments, expected):
    started = []
    monkeypatch.setattr(launch, "set_up", lambda extras: "python")
    monkeypatch.setattr(launch, "start", lambda part, python, opens: started.append((part, opens)) or 0)
    assert launch.main(arguments) == 0 and started == [expected]
