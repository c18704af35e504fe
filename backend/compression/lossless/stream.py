"""Whole files to `.pgl` and back, in blocks of bounded size that are coded side by side."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeVar

from backend.compression.lossless.blocks import MODE_NAMES, decode_block, encode_block
from backend.compression.lossless.container import Block, LosslessReader, LosslessWriter
from backend.compression.lossless.header import MAX_TAIL_BYTES, LosslessEnd, LosslessHeader, damaged
from backend.compression.lossless.levels import DEFAULT_LEVEL, LEVELS
from backend.compression.lossless.pcm_layout import PcmLayout
from backend.compression.lossless.source_file import read_exactly, read_header
from backend.errors import BadAudio, BadContainer, BadRequest, LimitExceeded

BLOCK_FRAMES = 1 << 19  # 11.9 s at 44.1 kHz
MAX_BLOCK_BYTES = 16 * 2**20
Progress = Callable[[int], None]
T = TypeVar("T")


@dataclass(slots=True)
class LosslessReport:
    """What a file became: sizes in bytes, its layout, and the blocks of each mode."""

    layout: PcmLayout
    level: int
    n_frames: int = 0
    source_bytes: int = 0
    compressed_bytes: int = 0
    modes: dict[str, int] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """Compressed bytes for each byte of the source."""
        return self.compressed_bytes / max(self.source_bytes, 1)

    @property
    def duration_s(self) -> float:
        return self.n_frames / self.layout.rate_hz


def compress(
    source: BinaryIO, target: BinaryIO, *, level: int = DEFAULT_LEVEL, is_verified: bool = True, n_workers: int = 1,
    block_frames: int = BLOCK_FRAMES, progress: Progress | None = None,
) -> LosslessReport:  # fmt: skip
    """Read a WAV or AIFF file to its end and write it as `.pgl`; neither file need be seekable.

    With `is_verified` every block is decoded again before it is written. The bytes written do not depend on
    `n_workers`. `progress` is called with the source bytes done so far.
    """
    if level not in LEVELS:
        raise BadRequest(f"Level {level} is not one of {LEVELS.start} to {LEVELS.stop - 1}.", "level")
    source_header = read_header(source)
    layout = source_header.layout
    block_frames = max(1, min(block_frames, MAX_BLOCK_BYTES // layout.frame_bytes))
    header = LosslessHeader(layout, source_header.content, block_frames, level)
    writer = LosslessWriter(target, header)
    report = LosslessReport(layout, level, source_bytes=len(source_header.content))
    remainder = bytearray()

    def contents() -> Iterator[bytes]:
        left = source_header.data_bytes
        while left is None or left:
            wanted = block_frames * layout.frame_bytes
            content = read_exactly(source, wanted if left is None else min(wanted, left))
            if left is not None:
                left -= len(content)
            n_whole = len(content) // layout.frame_bytes * layout.frame_bytes
            remainder.extend(content[n_whole:])
            if n_whole:
                yield content[:n_whole]
            if len(content) < wanted:
                break

    def work(content: bytes) -> tuple[bytes, Block]:
        mode, payload = encode_block(content, layout, level)
        n_frames = len(content) // layout.frame_bytes
        if is_verified and decode_block(mode, payload, n_frames, layout) != content:
            raise BadAudio("A block does not decode to the samples it was made of. Nothing was written; report this.")
        return content, Block(n_frames, mode, payload)

    for content, block in in_order(work, contents(), n_workers):
        writer.push(block, content)
        report.n_frames += block.n_frames
        report.source_bytes += len(content)
        name = MODE_NAMES[block.mode]
        report.modes[name] = report.modes.get(name, 0) + 1
        if progress is not None:
            progress(report.source_bytes)
    tail = bytes(remainder) + read_exactly(source, MAX_TAIL_BYTES + 1 - len(remainder))
    if len(tail) > MAX_TAIL_BYTES:
        raise BadAudio(f"More than {MAX_TAIL_BYTES // 2**20} MB follow the samples; expected a WAV or AIFF file.")
    report.source_bytes += len(tail)
    writer.finish(tail)
    report.compressed_bytes = writer.n_bytes
    return report


def decompress(
    source: BinaryIO, target: BinaryIO, *, n_workers: int = 1, progress: Progress | None = None,
    max_bytes: int | None = None,
) -> LosslessReport:  # fmt: skip
    """Write the bytes of the file that was compressed.

    Raises `BadContainer` at the first damaged part, and `LimitExceeded` before more than `max_bytes` are decoded.
    """
    reader = LosslessReader(source)
    header = reader.header
    layout = header.layout
    report = LosslessReport(layout, header.level)
    md5 = hashlib.md5(usedforsecurity=False)
    target.write(header.head)
    report.source_bytes = len(header.head)

    n_planned = 0

    def planned() -> Iterator[Block]:
        nonlocal n_planned
        for block in reader:
            n_planned += block.n_frames * layout.frame_bytes
            if max_bytes is not None and n_planned > max_bytes:
                raise LimitExceeded(f"The file decodes to more than {max_bytes} bytes. Use the phonogram command.")
            yield block

    def work(block: Block) -> tuple[Block, bytes]:
        return block, decode_block(block.mode, block.payload, block.n_frames, layout)

    for block, content in in_order(work, planned(), n_workers):
        md5.update(content)
        target.write(content)
        report.n_frames += block.n_frames
        report.source_bytes += len(content)
        report.compressed_bytes += len(block.payload)
        name = MODE_NAMES[block.mode]
        report.modes[name] = report.modes.get(name, 0) + 1
        if progress is not None:
            progress(report.source_bytes)
    end = _end_of(reader)
    if md5.digest() != end.md5:
        raise damaged(f"its samples have MD5 {md5.hexdigest()} and it says {end.md5.hex()}")
    target.write(end.tail)
    report.source_bytes += len(end.tail)
    return report


def read_frames(source: BinaryIO, start_frame: int, n_frames: int) -> bytes:
    """PCM bytes of some frames of a seekable `.pgl` file; decodes only the blocks that hold them."""
    source.seek(0)
    reader = LosslessReader(source)
    end = LosslessEnd.find(source)
    if not 0 <= start_frame <= end.n_frames or n_frames < 0:
        raise BadRequest(f"Frame {start_frame} is not in the file; it has {end.n_frames}.", "start_frame")
    layout, size = reader.header.layout, reader.header.block_frames
    stop = min(start_frame + n_frames, end.n_frames)
    parts = []
    for index in range(start_frame // size, -(-stop // size)):
        block = reader.block_at(end, index)
        content = decode_block(block.mode, block.payload, block.n_frames, layout)
        first, last = max(start_frame - index * size, 0), min(stop - index * size, block.n_frames)
        parts.append(content[first * layout.frame_bytes : last * layout.frame_bytes])
    return b"".join(parts)


def in_order(work: Callable[[Any], T], items: Iterable[Any], n_workers: int) -> Iterator[T]:
    """Results of `work` in the order of `items`, with at most two items a worker in flight."""
    if n_workers <= 1:
        yield from map(work, items)
        return
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(n_workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 2 * n_workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _end_of(reader: LosslessReader) -> LosslessEnd:
    if reader.end is None:
        raise BadContainer("The .pgl file has no end. Copy it again.")
    return reader.end
