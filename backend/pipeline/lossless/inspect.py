"""What a `.pgl` file holds: its format, its blocks, and, decoded, how many bits each moment costs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from backend.compression.lossless.blocks import MODE_NAMES, TRACE_FRAMES, block_costs, decode_block, flac_bytes
from backend.compression.lossless.container import LosslessReader
from backend.compression.lossless.header import LosslessEnd
from backend.compression.lossless.pcm_layout import PcmLayout
from backend.errors import LimitExceeded
from backend.pipeline.lossless.compress import opened


@dataclass(frozen=True, slots=True)
class LosslessSurvey:
    """The facts of a `.pgl` file, checked by its CRCs but not decoded. `block_bytes`: payload of each block."""

    layout: PcmLayout
    level: int
    n_frames: int
    file_bytes: int
    source_bytes: int
    block_frames: int
    block_modes: tuple[str, ...]
    block_bytes: tuple[int, ...]
    md5: str

    @property
    def duration_s(self) -> float:
        return self.n_frames / self.layout.rate_hz

    @property
    def ratio(self) -> float:
        return self.file_bytes / max(self.source_bytes, 1)


def survey_lossless(file: BinaryIO) -> LosslessSurvey:
    """Read a `.pgl` file to its end."""
    reader = LosslessReader(file)
    blocks = [(MODE_NAMES[block.mode], len(block.payload)) for block in reader]
    end = reader.end
    assert isinstance(end, LosslessEnd)
    layout = reader.header.layout
    source_bytes = len(reader.header.head) + end.n_frames * layout.frame_bytes + len(end.tail)
    return LosslessSurvey(
        layout, reader.header.level, end.n_frames, reader.n_bytes, source_bytes, reader.header.block_frames,
        tuple(mode for mode, _ in blocks), tuple(size for _, size in blocks), end.md5.hex(),
    )  # fmt: skip


def survey_lossless_file(path: Path) -> LosslessSurvey:
    with opened(path) as file:
        return survey_lossless(file)


def lossless_facts(path: Path) -> dict[str, str | int | float]:
    """The survey of a `.pgl` file as names and values to show."""
    survey = survey_lossless_file(path)
    layout = survey.layout
    modes = {mode: survey.block_modes.count(mode) for mode in survey.block_modes}
    return {
        "level": survey.level,
        "sample_rate_hz": layout.rate_hz,
        "channels": layout.channels,
        "bits": 8 * layout.sample_bytes,
        "coding": layout.coding,
        "n_samples": survey.n_frames,
        "duration_s": survey.duration_s,
        "source_bytes": survey.source_bytes,
        "file_bytes": survey.file_bytes,
        "ratio": survey.ratio,
        "blocks": ", ".join(f"{count} {mode}" for mode, count in modes.items()),
        "block_samples": survey.block_frames,
        "md5": survey.md5,
    }


@dataclass(frozen=True, slots=True)
class LosslessCosts:
    """A survey with what each piece of the sound costs: bits a sample (of each channel) in pieces of `piece_s`."""

    survey: LosslessSurvey
    flac_bytes: int | None
    piece_s: float
    piece_bits: list[float]


def decoded_costs(file: BinaryIO, max_bytes: int) -> LosslessCosts:
    """Decode a seekable `.pgl` file of at most `max_bytes` decoded bytes to see where its bits are."""
    survey = survey_lossless(file)
    layout = survey.layout
    if survey.source_bytes > max_bytes:
        raise LimitExceeded(
            f"The file decodes to {survey.source_bytes} bytes; the limit is {max_bytes} (MAX_UPLOAD_MB). Use the "
            "phonogram command."
        )
    file.seek(0)
    piece_bits: list[float] = []
    flac = 0
    for block in LosslessReader(file):
        content = decode_block(block.mode, block.payload, block.n_frames, layout)
        if flac >= 0:
            size = flac_bytes(content, layout)
            flac = -1 if size is None else flac + size
        piece_bits += block_costs(block.mode, block.payload, block.n_frames, layout)
    return LosslessCosts(survey, None if flac < 0 else flac, TRACE_FRAMES / layout.rate_hz, piece_bits)
