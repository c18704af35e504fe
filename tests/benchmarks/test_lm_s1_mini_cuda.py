"""The card's benchmark without a card: what it would measure runs, and it says that it measured nothing."""

import pytest
import torch

from benchmarks import lm_s1_mini_cuda
from tests.support.tiny_lm import tiny_lm


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA card")
def test_without_a_card_it_says_so():
    (row,) = lm_s1_mini_cuda.run()
    assert row["name"] == "no card" and "nothing was measured" in row["why"]


@torch.inference_mode()
def test_both_ways_speak_the_same_and_give_their_figures():
    lm = tiny_lm("s1").narrow_head()
    plain, recorded = lm_s1_mini_cuda.compare(lm, 3, 100.0, prompt_frames=9, n_frames=6)
    assert plain.keys() < recorded.keys() and recorded["given_up"] is None
    assert recorded["frames_alike_before_the_first_other"] == lm_s1_mini_cuda.WARM_UP + 6
    assert recorded["frames_per_s"] > 0 and recorded["share_of_floor"] > 0


def test_the_floor_is_every_weight_as_often_as_it_is_used_and_the_past():
    lm = tiny_lm("one codebook").narrow_head()
    alone, further = (lm_s1_mini_cuda.frame_gb(lm, batch, 10) for batch in (1, 3))
    slow = lm.config.slow
    assert (further - alone) * 1e9 == pytest.approx(2 * 2 * slow.n_layers * slow.n_kv_heads * slow.head_dim * 10 * 4)


def test_frames_alike_are_counted_up_to_the_first_other():
    wanted = torch.zeros(5, 2, 3)
    found = wanted.clone()
    assert lm_s1_mini_cuda.n_alike(wanted, found) == 5
    found[3, 1, 2] = 1
    assert lm_s1_mini_cuda.n_alike(wanted, found) == 3
