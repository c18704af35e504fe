import io

import av
import numpy as np
import pytest

from backend.audio.audiobook import ChapterMark, write_audiobook
from backend.errors import BadAudio, OutputError
from tests.support.audio_decoding import decoded

RATE_HZ = 24000


def tone(duration_s: float, tone_hz: float = 440.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * tone_hz * np.arange(round(duration_s * RATE_HZ)) / RATE_HZ)).astype(np.float32)[
        None
    ]


def chapter_pieces(chapters: list[ChapterMark], n_chapters: int = 3):
    """Pieces of three chapters, whose starts are known only after they are generated."""
    start_s = 0.0
    for number in range(n_chapters):
        chapters.append(ChapterMark(f"Chapter {number} – Über", start_s))
        for _ in range(2):
            yield tone(0.5, 300 + 200 * number)
        start_s += 1.0


def test_audiobook_chapters_and_tags_are_readable(tmp_path):
    chapters: list[ChapterMark] = []
    path = tmp_path / "book.m4b"
    duration_s = write_audiobook(path, chapter_pieces(chapters), RATE_HZ, chapters, title="Emma", author="Jane Austen")
    with av.open(str(path)) as book:
        assert book.metadata["title"] == "Emma" and book.metadata["artist"] == "Jane Austen"
        marks = [
            (chapter["metadata"]["title"], float(chapter["start"] * chapter["time_base"]))
            for chapter in book.chapters()
        ]
        ends_s = [float(chapter["end"] * chapter["time_base"]) for chapter in book.chapters()]
        assert book.duration / av.time_base == pytest.approx(3.0, abs=0.01)
    assert marks == [(chapter.title, chapter.start_s) for chapter in chapters] and len(marks) == 3
    assert ends_s == [1.0, 2.0, 3.0] and duration_s == 3.0
    assert [entry.name for entry in tmp_path.iterdir()] == ["book.m4b"]


def test_audiobook_has_all_samples_and_the_index_first(tmp_path):
    path = tmp_path / "book.m4b"
    write_audiobook(path, iter([tone(1.0), tone(1.0, 880)]), RATE_HZ, [])
    content = path.read_bytes()
    assert content[4:11] == b"ftypM4A" and content.index(b"moov") < content.index(b"mdat")
    read, rate_hz = decoded(content, "m4b")
    assert rate_hz == RATE_HZ and 0 <= read.shape[1] - 2 * RATE_HZ < 1024
    halves = [np.argmax(np.abs(np.fft.rfft(part))) for part in (read[0, :RATE_HZ], read[0, RATE_HZ : 2 * RATE_HZ])]
    assert halves == [440, 880]


def test_failed_audiobook_keeps_the_old_file(tmp_path):
    path = tmp_path / "book.m4b"
    path.write_bytes(b"old")

    def failing():
        yield tone(0.5)
        raise BadAudio("The sentence was lost.")

    with pytest.raises(BadAudio, match="lost"):
        write_audiobook(path, failing(), RATE_HZ, [])
    with pytest.raises(BadAudio, match="no audio"):
        write_audiobook(path, iter([]), RATE_HZ, [])
    for starts in ([0.5, 0.2], [0.0, 0.0], [0.0, 9.0], [-1.0]):
        with pytest.raises(OutputError, match="in order, before the end"):
            write_audiobook(path, iter([tone(1.0)]), RATE_HZ, [ChapterMark("x", start) for start in starts])
    assert path.read_bytes() == b"old" and [entry.name for entry in tmp_path.iterdir()] == ["book.m4b"]
    with pytest.raises(OutputError, match="cannot be written"):
        write_audiobook(tmp_path / "absent" / "book.m4b", iter([tone(1.0)]), RATE_HZ, [])


def test_unsupported_rate_is_resampled_for_aac(tmp_path):
    path = tmp_path / "book.m4b"
    duration_s = write_audiobook(path, iter([tone(1.0)]), 96000, [ChapterMark("All", 0.0)])
    assert duration_s == 0.25
    with av.open(io.BytesIO(path.read_bytes())) as book:
        assert book.streams.audio[0].rate == 48000
