"""A short audiobook by the built-in voice, read back with PyAV."""

import av
import numpy as np
import pytest

from backend.opt_engine import OptimizedEngine
from backend.settings import Settings
from tests.support.reading_jobs import accept, job_service_in, until

TEXT = b"""# The Kettle

## Tea

The kettle is on, and the tea is nearly ready. She looked out of the window, and it had begun to rain.

## Evening

The evening was quiet. Nobody had come by for hours.
"""


@pytest.mark.slow
def test_built_in_voice_writes_an_audiobook_with_chapters(tmp_path):
    engine = OptimizedEngine(Settings(_env_file=None, device="cpu", data_dir=str(tmp_path)))
    engine.load()
    try:
        with job_service_in(tmp_path / "jobs", engine) as service:
            job = until(service, accept(service, TEXT, "m4b").id, "done", timeout_s=300)
            assert job.title == "The Kettle" and job.n_done == job.n_sentences == 6
            chapters, sentences = service.chapters(job.id), service.sentences(job.id)
            with av.open(str(service.file(job.id))) as file:
                marks = [
                    (mark["metadata"]["title"], float(mark["start"] * mark["time_base"])) for mark in file.chapters()
                ]
                rate_hz = file.streams.audio[0].rate
                sound = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    finally:
        engine.close()
    assert [title for title, _ in marks] == ["Tea", "Evening"] == [chapter.title for chapter in chapters]
    assert [start_s for _, start_s in marks] == pytest.approx([chapter.start_s for chapter in chapters], abs=0.002)
    assert len(sound) / rate_hz == pytest.approx(job.file_audio_s, abs=0.1)
    assert job.file_audio_s == pytest.approx(
        sum(one.chosen_take.duration_s + one.pause_s for one in sentences), abs=0.01
    )
    assert job.file_audio_s > 8
    start = round(marks[1][1] * rate_hz)
    before, after = sound[start - rate_hz // 2 : start], sound[start : start + rate_hz // 2]
    assert np.abs(before).max() < 0.01 < np.abs(after).max(), "the second chapter does not begin where it should"
