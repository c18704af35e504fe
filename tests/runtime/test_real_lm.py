"""The language model thread with small random models of every family."""

import copy

import numpy as np
import pytest

from backend.lm.base import SamplerState
from backend.lm.sampling_options import SamplingOptions
from backend.lm.text_pointer import Pointer
from backend.optimize.cuda_graph.model import CudaGraphDualAR
from backend.optimize.registry import OPTIMIZATIONS
from backend.runtime.session import SegmentPrompt
from tests.support.speaking import collect, running, session_for
from tests.support.tiny_lm import tiny_lm, tiny_prompt


class PromptSource:
    """One segment of a real prompt."""

    def __init__(self, model, seed, n_text=20, max_frames=30, n_shared=0):
        pointer = Pointer([3, 5, 7, 2] * 4, model.spec.n_side, max_spent=5) if model.spec.n_side else None
        sampler = SamplerState(SamplingOptions(), seed=seed, pointer=pointer)
        self.segment = SegmentPrompt(tiny_prompt(model, n_text, 6, seed), sampler, max_frames, n_shared)
        self.has_next, self.closing_pause_s, self.codes, self.reason = True, 0.0, None, None

    def next(self):
        self.has_next = False
        return self.segment

    def done(self, codes, finish_reason, path):
        self.codes, self.reason = codes, finish_reason


def speak(worker, sources, **options):
    sessions = [session_for(source, **options) for source in sources]
    for session in sessions:
        worker.submit(session)
    return [collect(session) for session in sessions]


@pytest.mark.parametrize("kind", ["v15", "s1", "s2", "phonogram"])
def test_seeded_codes_in_a_batch_equal_codes_alone(kind):
    model = tiny_lm(kind)
    lengths = [9, 14, 20, 31, 40, 52, 66, 71]
    with running(model, max_frames=200) as worker:
        alone = [speak(worker, [PromptSource(model, seed, n)])[0] for seed, n in enumerate(lengths)]
    with running(model, max_frames=200) as worker:
        together = speak(worker, [PromptSource(model, seed, n) for seed, n in enumerate(lengths)])
        assert worker.snapshot.mean_batch >= 4
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len({codes.tobytes() for codes in alone}) == 8


@pytest.mark.parametrize("kind", ["s1", "one codebook", "phonogram"])
def test_batched_codes_equal_codes_alone_with_cuda_graphs(kind):
    model = tiny_lm(kind).narrow_head()
    recorded = CudaGraphDualAR.of(copy.copy(model))
    lengths = [9, 14, 20, 31, 40, 52, 66, 71]
    with running(model, max_frames=200) as worker:
        plain = [speak(worker, [PromptSource(model, seed, n)])[0] for seed, n in enumerate(lengths)]
    with running(recorded, max_frames=200) as worker:
        alone = [speak(worker, [PromptSource(model, seed, n)])[0] for seed, n in enumerate(lengths)]
        together = speak(worker, [PromptSource(model, seed, n) for seed, n in enumerate(lengths)])
        # Prompts are prefilled between decode steps, in rows of the same state.
        assert sum(n > 0 for n in worker.snapshot.steps_by_rows) >= 4
        assert recorded.disabled_reason is None and worker._state.step_graphs and worker._state.sampler_graphs
    for one, other, another in zip(plain, alone, together, strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, another)


@pytest.mark.parametrize("is_bound", [False, True])
@pytest.mark.parametrize("kind", ["s1", "phonogram"])
def test_batched_codes_equal_codes_alone_in_int8(kind, is_bound):
    model = OPTIMIZATIONS["int8"]().apply(tiny_lm(kind, intermediate_size=64).narrow_head())
    if is_bound:
        model = OPTIMIZATIONS["cpu_graph"]().apply(model)
    with running(model, max_frames=200) as worker:
        alone = [speak(worker, [PromptSource(model, seed, 9 + 4 * seed)])[0] for seed in range(8)]
    with running(model, max_frames=200) as worker:
        together = speak(worker, [PromptSource(model, seed, 9 + 4 * seed) for seed in range(8)])
        assert worker.snapshot.mean_batch >= 4
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", ["s1", "phonogram"])
def test_cached_prefix_gives_the_same_codes(kind):
    model = tiny_lm(kind)
    with running(model, max_frames=200) as worker:
        fresh = speak(worker, [PromptSource(model, 5, 70, n_shared=66)], use_prefix_cache=False)[0]
        columns = worker.snapshot.prefill_columns
        speak(worker, [PromptSource(model, 5, 70, n_shared=66)])
        reused = speak(worker, [PromptSource(model, 5, 70, n_shared=66)])[0]
        assert worker.snapshot.prefill_columns - columns == 76 + 10
        assert worker.snapshot.prefixes.hits == 1
    np.testing.assert_array_equal(fresh, reused)


def test_finished_pointer_ends_the_segment():
    model = tiny_lm("phonogram")
    source = PromptSource(model, 3, max_frames=150)
    with running(model, max_frames=200) as worker:
        codes = speak(worker, [source])[0]
    assert source.reason == "pointer_end"
    assert source.segment.sampler.pointer.is_finished
    assert 8 <= codes.shape[1] < 150
