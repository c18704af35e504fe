import random

import pytest

from backend.data.sources.unpack import unpack
from backend.errors import BadContainer
from tests.support.archives import split_zip_parts, tar_bytes, zip_bytes

NOISE = random.Random(0).randbytes
MEMBERS = {f"set/{i:02d}.wav": NOISE(700 * (i + 1)) + b"quiet" * 400 for i in range(12)}


def write_split(folder, members, part_bytes):
    parts = split_zip_parts(members, part_bytes)
    for i, part in enumerate(parts[:-1]):
        (folder / f"sounds.z{i + 1:02d}").write_bytes(part)
    (folder / "sounds.zip").write_bytes(parts[-1])
    return len(parts)


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("name", "make"), [("sounds.zip", zip_bytes), ("sounds.tar.gz", tar_bytes)])
def test_archives_are_unpacked(tmp_path, name, make):
    (tmp_path / name).write_bytes(make(MEMBERS))
    seen = []
    assert unpack(tmp_path / name, tmp_path / "out", lambda done, total: seen.append(done)) == len(MEMBERS)
    assert contents(tmp_path / "out") == MEMBERS and seen


@pytest.mark.parametrize("part_bytes", [5_000, 7_001, 30_000])
def test_split_zip_members_across_parts(tmp_path, part_bytes):
    assert write_split(tmp_path, MEMBERS, part_bytes) > 1
    assert unpack(tmp_path / "sounds.zip", tmp_path / "out") == len(MEMBERS)
    assert contents(tmp_path / "out") == MEMBERS


def test_a_missing_part_is_named(tmp_path):
    n_parts = write_split(tmp_path, MEMBERS, 5_000)
    (tmp_path / f"sounds.z{n_parts - 1:02d}").unlink()
    with pytest.raises(BadContainer, match=f"last of {n_parts} parts"):
        unpack(tmp_path / "sounds.zip", tmp_path / "out")


def test_damage_in_a_split_zip_is_found(tmp_path):
    write_split(tmp_path, MEMBERS, 5_000)
    damaged = bytearray((tmp_path / "sounds.z02").read_bytes())
    damaged[2_500] ^= 0xFF
    (tmp_path / "sounds.z02").write_bytes(damaged)
    with pytest.raises(BadContainer, match="damaged"):
        unpack(tmp_path / "sounds.zip", tmp_path / "out")


@pytest.mark.parametrize("name", ["../outside.wav", "/etc/outside", "a/../../outside", "..\\outside.wav"])
@pytest.mark.parametrize(("archive", "make"), [("sounds.zip", zip_bytes), ("sounds.tar.gz", tar_bytes)])
def test_members_cannot_leave_the_folder(tmp_path, archive, make, name):
    (tmp_path / archive).write_bytes(make({name: b"x"}))
    try:
        unpack(tmp_path / archive, tmp_path / "out" / "deep")
    except BadContainer as error:
        assert "leads out" in str(error)
    assert all(path.is_relative_to(tmp_path / "out" / "deep") for path in tmp_path.rglob("outside*"))


def test_files_that_are_there_are_not_written_again(tmp_path):
    (tmp_path / "sounds.zip").write_bytes(zip_bytes(MEMBERS))
    unpack(tmp_path / "sounds.zip", tmp_path / "out")
    first = tmp_path / "out" / "set" / "00.wav"
    kept = b"k" * len(MEMBERS["set/00.wav"])
    first.write_bytes(kept)
    unpack(tmp_path / "sounds.zip", tmp_path / "out")
    assert first.read_bytes() == kept


@pytest.mark.parametrize("name", ["sounds.zip", "sounds.tar.gz"])
def test_a_file_that_is_no_archive(tmp_path, name):
    (tmp_path / name).write_bytes(b"not an archive" * 20)
    with pytest.raises(BadContainer, match="cannot be unpacked"):
        unpack(tmp_path / name, tmp_path / "out")
