"""The image, as far as it can be tested without a container engine: its steps, its files, and a server of them alone.

What is not tested here: that the base image is there, that the wheels of torch install in it, and cards inside it.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time

import httpx
import pytest

from tests.repo.test_requirements import PROJECT
from tests.support.repository import ROOT, project_files

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
STEPS = [line.split(None, 1) for line in TEXT.splitlines() if line and not line.startswith("#")]
KEPT = [line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")]


def all_of(kind):
    return [rest for name, rest in STEPS if name == kind]


def copied():
    """The tracked files that the COPY steps take past .dockerignore, with their places below the image's folder."""
    for step in all_of("COPY"):
        *sources, target = step.split()
        for path in project_files():
            name = path.as_posix()
            is_kept = any(name == kept or (kept.endswith("/**") and name.startswith(kept[:-2])) for kept in KEPT)
            for source in sources:
                if is_kept and name == source:
                    yield path, name
                elif is_kept and name.startswith(f"{source}/"):
                    assert target.rstrip("/") == source, "folders keep their names"
                    yield path, name


def test_the_base_image_has_a_python_the_project_supports():
    (version,) = re.findall(r"^python:(\d+\.\d+)-slim$", all_of("FROM")[0])
    assert f"{version.split('.')[0]}.{version.split('.')[1]}" in ("3.10", "3.11", "3.12", "3.13")
    assert PROJECT["requires-python"] == ">=3.10,<3.14"


def test_the_image_takes_the_pinned_torch_and_declared_extras_only():
    (install,) = [step for step in all_of("RUN") if "pip install" in step]
    assert f" {PROJECT['dependencies'][0]} " in install
    (extras,) = [step.split("=")[1] for step in all_of("ARG") if step.startswith("EXTRAS=")]
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])


def test_the_server_is_not_root_and_writes_to_its_data_alone():
    names = [name for name, _ in STEPS]
    assert all_of("USER") == ["phonogram"] and names.index("USER") < names.index("CMD")
    assert not [name for name, _ in STEPS[names.index("USER") :] if name in ("RUN", "COPY", "ADD")]
    assert "ADD" not in names
    assert all_of("VOLUME") == ["/app/data"]


def test_nothing_of_a_working_copy_gets_in():
    files = {name for _, name in copied()}
    assert {"backend/app.py", "pyproject.toml", "checkpoints/phonogram-mini/model.safetensors"} <= files
    assert not [name for name in files if name.startswith((".", "tests/", "data/", "runs/")) or ".env" in name]
    assert not re.search(r"(?i)key|token|secret|password", " ".join(all_of("ENV") + all_of("ARG")))


def health_check():
    (step,) = all_of("HEALTHCHECK")
    command = json.loads(step.partition("CMD ")[2])
    assert command[0] == "python"
    return [sys.executable, *command[1:]]


@pytest.mark.slow
def test_the_files_of_the_image_are_enough_to_speak(tmp_path):
    for path, name in copied():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, tmp_path / name)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    told = dict(pair.split("=", 1) for step in all_of("ENV") for pair in step.split())
    env = {
        **os.environ,
        **told,
        "PORT": str(port),
        "HOST": "127.0.0.1",
        "PYTHONPATH": str(tmp_path),
        "HOME": str(tmp_path),
    }
    check = {**env, "PATH": os.environ["PATH"]}
    assert (
        json.loads(all_of("CMD")[0]) == ["phonogram", "serve"]
        and PROJECT["scripts"]["phonogram"] == "backend.cli.main:main"
    )
    assert subprocess.run(health_check(), env=check, capture_output=True, check=False).returncode != 0
    server = subprocess.Popen(
        [sys.executable, "-m", "backend", "serve"],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=120) as http:
            deadline_s = time.monotonic() + 180
            while True:
                assert server.poll() is None and time.monotonic() < deadline_s, server.stdout.read()
                try:
                    if http.get("/ready").status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                time.sleep(0.2)
            assert subprocess.run(health_check(), env=check, check=False).returncode == 0
            spoken = http.post("/tts", json={"text": "Hello from the image.", "seed": 1})
            assert spoken.status_code == 200 and float(spoken.headers["x-audio-seconds"]) > 0.5
    finally:
        server.terminate()
        server.communicate(timeout=60)
