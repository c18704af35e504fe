"""`phonogram download` from a fake hub: license, token, verification, resuming."""

import hashlib
import sys
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub.errors import GatedRepoError

from backend.cli import main as cli
from backend.weights import hub, locate
from backend.weights.hub import HUB_CHECKPOINTS

NAME = "openaudio-s1-mini"
CONTENT = {name: f"content of {name}".encode() for name in HUB_CHECKPOINTS[NAME].files}


class FakeHub:
    """Stands in for the package; `served` is what a download really brings."""

    errors = huggingface_hub.errors

    def __init__(self):
        self.token: str | None = "key"
        self.served = dict(CONTENT)
        self.fetched = []
        self.failure = None

    def get_token(self):
        return self.token

    def HfApi(self):  # noqa: N802  the package's own name
        return self

    def model_info(self, repo, files_metadata, token):
        assert (repo, files_metadata, token) == ("fishaudio/openaudio-s1-mini", True, self.token)
        siblings = [
            SimpleNamespace(
                rfilename=name,
                size=len(content),
                lfs=SimpleNamespace(sha256=hashlib.sha256(content).hexdigest()) if name.endswith(".pth") else None,
            )
            for name, content in CONTENT.items()
        ]
        return SimpleNamespace(sha="f" * 40, siblings=siblings)

    def hf_hub_download(self, repo, name, revision, local_dir, token):
        assert revision == "f" * 40
        if self.failure is not None and name == "codec.pth":
            raise self.failure
        self.fetched.append(name)
        (local_dir / name).write_bytes(self.served[name])


@pytest.fixture
def fake(tmp_path, monkeypatch):
    fake = FakeHub()
    monkeypatch.setattr(hub, "_hub", lambda: fake)
    monkeypatch.setattr(locate, "CHECKPOINTS", tmp_path)
    return fake


def download(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["phonogram", "download", *arguments])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    return leaving.value.code or 0


def test_license_is_shown_and_must_be_accepted(fake, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    assert download(monkeypatch, NAME) == 2
    out, err = capsys.readouterr()
    assert "CC-BY-NC-SA" in out and "Gated" in out and "--accept-license" in err
    assert fake.fetched == [] and list(tmp_path.iterdir()) == []


def test_verified_checkpoint_is_installed(fake, tmp_path, monkeypatch, capsys):
    assert download(monkeypatch, NAME, "--accept-license") == 0
    folder = tmp_path / NAME
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "SOURCE.json"} == CONTENT
    assert hashlib.sha256(CONTENT["model.pth"]).hexdigest() in (folder / "SOURCE.json").read_text()
    assert "complete and verified" in capsys.readouterr().out
    assert download(monkeypatch, NAME, "--accept-license") == 2
    assert "Remove it" in capsys.readouterr().err


def test_missing_token_error_explains_how_to_get_one(fake, monkeypatch, capsys):
    fake.token = None
    assert download(monkeypatch, NAME, "--accept-license") == 2
    assert "HF_TOKEN" in capsys.readouterr().err and fake.fetched == []


@pytest.mark.parametrize("name", ["config.json", "model.pth"])
def test_file_that_differs_is_refused_and_removed(fake, tmp_path, monkeypatch, capsys, name):
    other = b"x" * len(CONTENT[name]) if name == "model.pth" else b"short"
    fake.served[name] = other
    assert download(monkeypatch, NAME, "--accept-license") == 2
    assert f"{name} has {len(other)} bytes" in capsys.readouterr().err
    assert not (tmp_path / NAME).exists() and not (tmp_path / f".{NAME}.part" / name).exists()


def test_interrupted_download_resumes_and_is_not_used_as_a_checkpoint(fake, tmp_path, monkeypatch, capsys):
    fake.failure = ConnectionResetError("gone")
    assert download(monkeypatch, NAME, "--accept-license") == 2
    assert "Run the command again to resume" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [f".{NAME}.part"]
    fake.failure = None
    assert download(monkeypatch, NAME, "--accept-license") == 0
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_gated_checkpoint_without_access_is_reported(fake, monkeypatch, capsys):
    fake.failure = GatedRepoError.__new__(GatedRepoError)
    assert download(monkeypatch, NAME, "--accept-license") == 2
    assert "Accept its license" in capsys.readouterr().err


def test_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(locate, "CHECKPOINTS", tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert download(monkeypatch, NAME, "--accept-license") == 2
    assert "setup hub" in capsys.readouterr().err


def test_unknown_name_names_the_known_ones(monkeypatch, capsys):
    assert download(monkeypatch, "other", "--accept-license") == 2
    assert NAME in capsys.readouterr().err
