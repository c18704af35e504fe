"""The CUDA benchmark on CPU: its measurements run, and it reports that there is no GPU."""

import pytest
import torch

from benchmarks import lm_s1_mini_cuda
from tests.support.tiny_lm import tiny_lm


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU")
def test_without_a_gpu_nothing_is_measured():
    (row,) = lm_s1_mini_cuda.run()
    assert row["name"] == "no GPU" and "nothing was measured" in row["why"]


@torch.inference_mode()
def test_both_modes_generate_equal_frames():
    lm = tiny_lm("s1").narrow_head()
    plain, recorded = lm_s1_mini_cuda.compare(lm, 3, 1e-3, prompt_frames=9, n_frames=6)
    assert plain.keys() < recorded.keys() and recorded["disabled_reason"] is None
    assert recorded["frames_alike_before_the_first_other"] == lm_s1_mini_cuda.WARM_UP + 6
    assert recorded["frames_per_s"] > 0 and recorded["share_of_floor"] > 0


def test_floor_counts_every_weight_per_use_and_the_past():
    lm = tiny_lm("one codebook").narrow_head()
    alone, further = (lm_s1_mini_cuda.frame_gb(lm, batch, 10) for batch in (1, 3))
    slow = lm.config.slow
    assert (further - alone) * 1e9 == pytest.approx(2 * 2 * slow.n_layers * slow.n_kv_heads * slow.head_dim * 10 * 4)


def test_equal_frames_are_counted_up_to_the_first_difference():
    expected = torch.zeros(5, 2, 3)
    actual = expected.clone()
    assert lm_s1_mini_cuda.n_equal(expected, actual) == 5
    actual[3, 1, 2] = 1
    assert lm_s1_mini_cuda.n_equal(expected, actual) == 3
