import io

import numpy as np
import pytest

from backend.compression.codes.inspect import survey_container
from tests.support.pgc_files import header, write


@pytest.mark.parametrize("is_announced", [True, False])
def test_bitrates_are_computed_from_file_sizes(is_announced):
    content = write(np.zeros((2, 1000), dtype=int), header(n_frames=1000 if is_announced else None), block_frames=300)
    survey = survey_container(io.BytesIO(content))
    assert survey.duration_s == 2.0
    assert survey.n_frames == 1000 and survey.header.n_frames == 1000
    assert survey.file_bytes == len(content) and survey.file_kbps == len(content) * 8 / 1000 / 2
    assert survey.payload_bytes == 1000 and survey.payload_kbps == 4.0


def test_file_without_audio_has_no_bitrate():
    assert survey_container(io.BytesIO(write(np.zeros((2, 0), dtype=int), header()))).file_kbps == 0.0
