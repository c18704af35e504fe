import hashlib

import pytest

from backend.data.sources.source import RemoteFile
from backend.data.sources.transfer import DownloadSession
from backend.errors import BadContainer, BadSettings, NotAvailable
from tests.support.file_server import FileServer, file_server

CONTENT = bytes(range(256)) * 4000
MD5 = "md5:" + hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
ADDRESS = "https://data.example/sets/sounds.zip"


@pytest.fixture
def server():
    with file_server() as served:
        served.files["/sets/sounds.zip"] = CONTENT
        yield served


def session(server: FileServer) -> DownloadSession:
    return DownloadSession(server.url, retry_delays_s=(0.0,))


def test_a_file_arrives_whole_and_is_not_downloaded_twice(server, tmp_path):
    file = RemoteFile("sounds.zip", ADDRESS, MD5, len(CONTENT))
    seen = []
    path = session(server).download(file, tmp_path, lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == CONTENT and seen[-1] == (len(CONTENT), len(CONTENT))
    session(server).download(file, tmp_path)
    assert len(server.requests) == 1 and [p.name for p in tmp_path.iterdir()] == ["sounds.zip"]


@pytest.mark.parametrize("has_ranges", [True, False])
def test_a_cut_connection_is_resumed(server, tmp_path, has_ranges):
    server.cuts["/sets/sounds.zip"] = 300_000
    server.has_ranges = has_ranges
    path = session(server).download(RemoteFile("sounds.zip", ADDRESS, MD5), tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.requests[1] == ("/sets/sounds.zip", "bytes=300000-")


def test_a_partial_file_of_an_earlier_run_is_resumed(server, tmp_path):
    (tmp_path / "sounds.zip.part").write_bytes(CONTENT[:1000])
    assert session(server).download(RemoteFile("sounds.zip", ADDRESS, MD5), tmp_path).read_bytes() == CONTENT
    assert server.requests == [("/sets/sounds.zip", "bytes=1000-")]


def test_a_partial_file_longer_than_the_file_starts_over(server, tmp_path):
    (tmp_path / "sounds.zip.part").write_bytes(CONTENT + b"more")
    assert session(server).download(RemoteFile("sounds.zip", ADDRESS, MD5), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "file",
    [
        RemoteFile("sounds.zip", ADDRESS, "md5:" + "0" * 32),
        RemoteFile("sounds.zip", ADDRESS, size_bytes=len(CONTENT) - 1),
    ],
)
def test_a_file_with_another_checksum_or_size_is_removed(server, tmp_path, file):
    with pytest.raises(BadContainer, match=r"expected .* run again"):
        session(server).download(file, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_reported_once_without_retries(server, tmp_path):
    with pytest.raises(NotAvailable, match=r"data\.example \(answered 404\)"):
        session(server).download(RemoteFile("gone.zip", "https://data.example/gone.zip"), tmp_path)
    assert len(server.requests) == 1


def test_only_https_without_a_mirror():
    with pytest.raises(NotAvailable):
        DownloadSession().json("http://data.example/list")
    with pytest.raises(BadSettings, match="expected an address"):
        DownloadSession("ftp://mirror.example")


def test_json_that_is_none(server):
    server.files["/list"] = b"<html>"
    with pytest.raises(NotAvailable, match="could not be read"):
        session(server).json("https://data.example/list")
