"""The frame that can be recorded says what `step` and `sample` say."""

import pytest
import torch
from torch import nn

from backend.lm.sampling import RowSampler, SamplingOptions
from backend.optimize.cuda_graph import CudaGraph, StaticFrame, bucket_of
from tests.lm.tiny import tiny_prompt
from tests.optimize.lm_laws import model

OPTIONS = (
    SamplingOptions(), SamplingOptions.greedy(),
    SamplingOptions(top_k=5, min_p=0.02, repetition_penalty=1.3, ras=True, temperature=1.2),
)  # fmt: skip


@pytest.mark.parametrize("era", ["v15", "s1", "s2", "one codebook"])
def test_it_says_the_frames_of_step_and_sample(era):
    with torch.inference_mode():
        lm = model(era)
        state, static = lm.init_state(3), StaticFrame(lm, 4, 64)
        wanted, rows = [], []
        for row, options in enumerate(OPTIONS):
            sampler = RowSampler(options, seed=row)
            out = lm.prefill(tiny_prompt(lm, n_text=5 + 3 * row, seed=row), state, row)
            frame = lm.sample(out, [sampler], state, [row])
            static.load_row(row, state, row, frame[0], sampler)
            rows.append((sampler, frame))
        for row, (sampler, frame) in enumerate(rows):
            said = []
            for _ in range(6):
                frame = lm.sample(lm.step(frame, state, [row]), [sampler], state, [row])
                said.append(frame)
            wanted.append(torch.cat(said))
        found = torch.stack([static.run().clone() for _ in range(6)], dim=1)
        for row, want in enumerate(wanted):
            assert torch.equal(found[row], want)


def test_it_is_refused_where_it_cannot_run():
    graph = CudaGraph()
    assert "CUDA" in graph.supported(torch.device("cpu"), model("s1")).reason
    assert "pointer" in graph.supported(torch.device("cuda"), model("phonogram")).reason
    assert "Linear" in graph.supported(torch.device("cuda"), nn.Linear(2, 2)).reason


def test_rows_go_into_the_smallest_bucket_that_holds_them():
    assert [bucket_of(n) for n in (1, 3, 8, 33)] == [1, 4, 8, 64]
