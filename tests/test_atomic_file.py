"""Files are complete or absent."""

import hashlib

import pytest

from backend.atomic_file import atomic_path, file_sha256, write_atomically


@pytest.mark.parametrize("is_durable", [False, True])
def test_a_write_replaces_the_whole_file(tmp_path, is_durable):
    target = tmp_path / "file"
    target.write_bytes(b"a longer old content")
    write_atomically(target, b"new", is_durable=is_durable)
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_keeps_the_old_file_and_leaves_no_other(tmp_path):
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with pytest.raises(KeyError), atomic_path(target) as partial:
        partial.write_bytes(b"half")
        raise KeyError
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("size", [0, 1, (1 << 20) + 3])
def test_the_hash_is_that_of_all_bytes(tmp_path, size):
    target = tmp_path / "file"
    target.write_bytes(b"x" * size)
    assert file_sha256(target) == hashlib.sha256(b"x" * size).hexdigest()
