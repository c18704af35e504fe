"""Archives for tests: ZIP, split ZIP and TAR with given members."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile


def zip_bytes(members: dict[str, bytes]) -> bytes:
    """A deflated ZIP archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tar_bytes(members: dict[str, bytes]) -> bytes:
    """A gzipped TAR archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def split_zip_parts(members: dict[str, bytes], part_bytes: int) -> list[bytes]:
    """The parts of a split archive, `.z01` first: after a marker of four bytes, offsets count within each part."""
    whole = bytearray(b"PK\x07\x08" + zip_bytes(members))
    end = whole.rfind(b"PK\x05\x06")
    n_entries, n_bytes, offset = struct.unpack_from("<HII", whole, end + 10)
    offset += 4
    at = offset
    for _ in range(n_entries):
        name_bytes, extra_bytes, comment_bytes = struct.unpack_from("<HHH", whole, at + 28)
        (start,) = struct.unpack_from("<I", whole, at + 42)
        start += 4
        struct.pack_into("<H", whole, at + 34, start // part_bytes)
        struct.pack_into("<I", whole, at + 42, start % part_bytes)
        at += 46 + name_bytes + extra_bytes + comment_bytes
    last = (len(whole) - 1) // part_bytes
    if end // part_bytes != last:  # the record of the end lies in one part
        raise ValueError("the end is split; choose another size")
    struct.pack_into(
        "<HHHHII", whole, end + 4, last, offset // part_bytes, n_entries, n_entries, n_bytes, offset % part_bytes
    )
    return [bytes(whole[i : i + part_bytes]) for i in range(0, len(whole), part_bytes)]
