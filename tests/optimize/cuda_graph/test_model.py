"""Steps and samplers as CUDA graphs equal the plain model's; failed or differing captures are not used."""

import copy
import logging
from dataclasses import replace
from random import Random

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from backend.errors import LimitExceeded
from backend.lm.base import SamplerState
from backend.optimize.cuda_graph import model as cuda_graph
from backend.optimize.cuda_graph import sampler as cuda_sampler
from backend.optimize.cuda_graph import step as cuda_step
from backend.optimize.cuda_graph.capture import PinnedInput
from backend.optimize.cuda_graph.model import CudaGraph, CudaGraphDualAR
from backend.optimize.cuda_graph.sampler import CudaGraphSampler, SamplerKind
from backend.optimize.cuda_graph.step import CudaGraphStep
from tests.support.batch_generation import OPTIONS, BatchGeneration, largest_difference
from tests.support.lm_parity import frames as some_frames
from tests.support.tiny_lm import tiny_lm, tiny_prompt

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
GRAPH = CudaGraph()
KINDS = ("v15", "s1", "s2", "odd", "one codebook", "phonogram", "own tables")
NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.inference_mode():
        yield


def with_graphs(plain, capture=None):
    return CudaGraphDualAR.of(copy.copy(plain), capture)


def pair(kind, **changes):
    plain = tiny_lm(kind, **changes).narrow_head()
    return plain, with_graphs(plain)


def assert_captured(lm, state):
    assert lm.disabled_reason is None and state.step_graphs and state.sampler_graphs


@pytest.mark.parametrize("options", [OPTIONS, OPTIONS[:2], OPTIONS[-1:]], ids=["all", "usual", "greedy"])
@pytest.mark.parametrize("kind", KINDS)
def test_frames_equal_the_plain_models(kind, options):
    plain, captured = pair(kind)
    expected, actual = (BatchGeneration(lm, range(5), options) for lm in (plain, captured))
    assert torch.equal(actual.generate(15), expected.generate(15))
    assert largest_difference(actual.out, expected.out) <= GRAPH.tolerance
    assert torch.equal(actual.state.recent, expected.state.recent)
    for a, b in zip(actual.samplers, expected.samplers, strict=True):
        assert a.frame == b.frame and (a.pointer is None or a.pointer.path == b.pointer.path)
    assert_captured(captured, actual.state)
    assert len(actual.state.step_graphs) == 1, "one graph must serve all steps of this size"


def test_row_is_equal_alone_and_in_a_batch():
    _, captured = pair("phonogram")
    speech = BatchGeneration(captured, range(4)).generate(12)
    for row in range(4):
        assert torch.equal(BatchGeneration(captured, [row]).generate(12)[0], speech[row])


def test_changing_rows_between_frames():
    plain, captured = pair("phonogram")
    expected, actual = BatchGeneration(plain, range(5)), BatchGeneration(captured, range(5))
    for rows in ([0, 1, 2], [2, 0], [1], [4, 3], [0, 1, 2, 3, 4]):
        for batch in (expected, actual):
            batch.step_some(rows)
        assert torch.equal(actual.frames[-1], expected.frames[-1])
        assert largest_difference(actual.out, expected.out) <= GRAPH.tolerance
    assert actual.state.slow.lengths == expected.state.slow.lengths
    # Slots after the last active row are not computed.
    assert sorted({slots for slots, _, _ in actual.state.step_graphs}) == [2, 4, 5]


def test_prefill_interleaves_with_steps_of_other_rows():
    """The slot had other content before, and its steps run along with the others'."""
    plain, captured = pair("s1")
    prompt, speech = tiny_prompt(plain, n_text=20, n_frames=9, seed=7), []
    for lm in (plain, captured):
        batch = BatchGeneration(lm, range(3))
        batch.generate(4)
        state = batch.state
        state.reset_row(1)
        for cut in (slice(0, 5), slice(5, 6), slice(6, 29)):
            lm.step(batch.frames[-1][[0, 2]], state, [0, 2])
            out = lm.prefill(prompt._replace(tokens=prompt.tokens[:, cut]), state, 1)
        speech.append((lm.step(lm.sample(out, [SamplerState(OPTIONS[0], 3)], state, [1]), state, [1]), out))
    for expected, actual in zip(*speech, strict=True):
        assert largest_difference(actual, expected) <= GRAPH.tolerance
    assert_captured(captured, state)


@pytest.mark.parametrize("seed", range(4))
def test_random_call_sequences_equal_the_plain_model(monkeypatch, seed):
    monkeypatch.setattr(cuda_graph, "FIRST_FRAMES", 16)
    monkeypatch.setattr(cuda_graph, "MIN_CAPACITY", 8)
    plain, captured = pair("phonogram")
    random, states = Random(seed), [lm.init_state(5, 150) for lm in (plain, captured)]
    prefixes, n_steps, shapes = None, 0, set()

    def both(call):
        expected, actual = (call(lm, state) for lm, state in zip((plain, captured), states, strict=True))
        assert states[0].slow.lengths == states[1].slow.lengths
        return expected, actual

    for number in range(120):
        row, what = random.randrange(5), random.choice(["step"] * 5 + ["prefill", "prefill", "keep", "load", "reset"])
        lengths, prompt = states[0].slow.lengths, tiny_prompt(plain, 1 + random.randrange(12), 2, number)
        speaking = [r for r in random.sample(range(5), random.randint(1, 5)) if 0 < lengths[r] < 150]
        if what == "step" and speaking:
            frames, side = some_frames(plain, *speaking), torch.ones(len(speaking), 3).long()
            outs = both(lambda lm, state: lm.step(frames, state, speaking, side))  # noqa: B023
            n_steps += 1
        elif what == "prefill" and lengths[row] < 130:
            outs = both(lambda lm, state: lm.prefill(prompt, state, row))  # noqa: B023
        elif what == "keep" and lengths[row]:
            prefixes = both(lambda lm, state: state.copy_prefix(row))  # noqa: B023
            continue
        elif what == "load" and prefixes:
            for state, prefix in zip(states, prefixes, strict=True):
                state.load_prefix(row, prefix)
            continue
        else:
            both(lambda lm, state: state.reset_row(row))  # noqa: B023
            continue
        assert largest_difference(*outs) <= GRAPH.tolerance
        shapes |= set(states[1].step_graphs)
    assert captured.disabled_reason is None and n_steps > 20
    assert len({capacity for _, capacity, _ in shapes}) > 2 and len({slots for slots, _, _ in shapes}) > 2


@pytest.mark.parametrize("n_held", [0, 11, 40])
def test_inactive_slots_are_unchanged(n_held):
    _, captured = pair("s1")
    state = captured.init_state(3, 40)
    for row in (0, 2):
        captured.prefill(tiny_prompt(captured, seed=row), state, row)
    if n_held:
        captured.prefill(tiny_prompt(captured, n_text=n_held - 6), state, 1)
    kept = [past[:, 1, :, : state.slow.capacity].clone() for past in (state.slow.keys, state.slow.values)]
    for _ in range(25):
        out = captured.step(some_frames(captured, 0, 1), state, [0, 2])
    assert out.logits.isfinite().all() and state.slow.lengths == [40, n_held, 40]
    for past, before in zip((state.slow.keys, state.slow.values), kept, strict=True):
        assert torch.equal(past[:, 1, :, : state.slow.capacity], before)
    with pytest.raises(LimitExceeded, match="41 frames; the limit is 40"):
        captured.step(some_frames(captured, 0, 1), state, [0, 2])
    assert state.slow.lengths == [40, n_held, 40]


def test_moved_cache_drops_its_graphs(monkeypatch):
    monkeypatch.setattr(cuda_graph, "FIRST_FRAMES", 16)
    plain, captured = pair("s2", max_seq_len=700)
    expected, actual = BatchGeneration(plain, [0, 1]), BatchGeneration(captured, [0, 1])
    first = actual.state.slow.keys
    for n_text in (10, 150, 300):
        # Slot 1 gets a longer prompt; slot 0 continues.
        for batch in (expected, actual):
            batch.state.reset_row(1)
            batch.lm.prefill(tiny_prompt(plain, n_text=n_text), batch.state, 1)
            batch.generate(8)
        assert largest_difference(actual.out, expected.out) <= GRAPH.tolerance
        assert all(step.keys is actual.state.slow.keys for step in actual.state.step_graphs.values())
    assert actual.state.slow.keys is not first and torch.equal(*(torch.stack(s.frames) for s in (actual, expected)))
    assert_captured(captured, actual.state)


def test_steps_may_grow_the_cache():
    plain, captured = pair("s1", max_seq_len=700)
    outs = []
    for lm in (plain, captured):
        state = lm.init_state(2)
        if lm is captured:
            # Simulates a small first allocation.
            state.slow.keys, state.slow.values = (past[:, :, :, :17] for past in (state.slow.keys, state.slow.values))
        for row in range(2):
            lm.prefill(tiny_prompt(lm, seed=row), state, row)
        outs.append([lm.step(some_frames(lm, n, n + 1), state, [0, 1]) for n in range(4)])
    assert all(largest_difference(actual, expected) <= GRAPH.tolerance for expected, actual in zip(*outs, strict=True))
    assert state.slow.capacity >= 128 and captured.disabled_reason is None


def test_a_loaded_prefix_continues_like_a_prefill():
    plain, captured = pair("phonogram")
    outs = []
    for lm in (plain, captured):
        prompt, state = tiny_prompt(lm), lm.init_state(3)
        lm.prefill(prompt, state, 0)
        prefix = state.copy_prefix(0, 10)
        for _ in range(3):
            lm.step(some_frames(lm, 2), state, [0], prompt.side[:1])
        state.load_prefix(2, prefix)
        outs += [lm.step(some_frames(lm, 3, 4), state, [2, 0], prompt.side[1:3])]
    assert largest_difference(*outs) <= GRAPH.tolerance
    assert captured.disabled_reason is None and len(state.step_graphs) == 2


@pytest.mark.parametrize("what", ["no side ids", "an end", "halves"])
def test_other_kinds_of_steps_are_captured(what):
    plain, captured = pair("own tables")
    outs = []
    for lm in (plain, captured):
        state = lm.init_state(2, kv_dtype=torch.bfloat16 if what == "halves" else None)
        for row in range(2):
            lm.prefill(tiny_prompt(lm, seed=row), state, row)
        frames = some_frames(lm, 0, 1)
        if what == "an end":
            frames[1, 0] = lm.spec.end_id
        outs.append(lm.step(frames, state, [0, 1], None if what == "no side ids" else torch.ones(2, 2).long()))
    assert largest_difference(*outs) <= (2e-2 if what == "halves" else GRAPH.tolerance)
    assert captured.disabled_reason is None and state.step_graphs


def test_adapted_voices_sample_with_their_own_fast_stack():
    plain = tiny_lm("own tables").narrow_head()
    torch.manual_seed(3)
    voice = plain.with_own_fast()
    for tensor in voice.fast_tensors.values():
        tensor.add_(torch.randn_like(tensor) * 0.2)
    speech = []
    for wrapped in (copy.copy, with_graphs):
        lm, frame_sampler = wrapped(plain), wrapped(voice.with_own_fast())
        frame_sampler.keep_fast_only()
        batch = BatchGeneration(lm, range(4), OPTIONS[:1])
        for sampler in batch.samplers[1:3]:
            sampler.frame_sampler = frame_sampler
        speech.append(batch.generate(10))
    assert torch.equal(*speech) and frame_sampler.disabled_reason is None
    assert len({id(draw.lm) for draw in batch.state.sampler_graphs.values()}) == 2


def test_changed_sampling_options_take_effect():
    plain, captured = pair("s1")
    expected, actual = BatchGeneration(plain, range(3), OPTIONS[1:2]), BatchGeneration(captured, range(3), OPTIONS[1:2])
    for temperature, top_p, min_p in ((1.2, 1.0, None), (0.3, 0.9, 0.1), (5.0, 1.0, None), (0.3, 0.2, None)):
        for batch in (expected, actual):
            for sampler in batch.samplers[:2]:
                sampler.options = replace(OPTIONS[1], temperature=temperature, top_p=top_p, min_p=min_p)
            batch.generate(4)
    assert torch.equal(torch.stack(actual.frames), torch.stack(expected.frames))
    assert len(actual.state.sampler_graphs) == 1


def test_returned_tensors_are_not_overwritten():
    _, captured = pair("phonogram")
    batch = BatchGeneration(captured, range(2))
    batch.generate(1)
    out, frames = batch.out, batch.frames[-1]
    kept = [tensor.clone() for tensor in (out.logits, out.hidden, out.aux["advance"], frames)]
    batch.generate(2)
    assert all(map(torch.equal, kept, (out.logits, out.hidden, out.aux["advance"], frames)))


def test_least_recently_used_graph_is_evicted(monkeypatch):
    monkeypatch.setattr(cuda_graph, "MAX_GRAPHS", 2)
    _, captured = pair("s1")
    batch = BatchGeneration(captured, range(5))
    batch.generate(1)
    for row in (0, 1, 0, 4, 0):
        captured.step(batch.frames[-1][[row]], batch.state, [row])
        if row == 0:
            kept = batch.state.step_graphs[(1, 200, False)]
    assert len(batch.state.step_graphs) == 2 and batch.state.step_graphs[(1, 200, False)] is kept
    assert (2, 200, False) not in batch.state.step_graphs


def fail_capture(call):
    raise torch.AcceleratorError("operation not permitted when stream is capturing\nmore lines")


def change_replay(part, change):
    """A capture whose replays change the output of steps or of samplers."""

    def capture(call):
        recording = call.__self__
        if isinstance(recording, CudaGraphStep) != (part == "step"):
            return call

        def replay():
            call()
            recording.out = change(recording.out)

        return replay

    return capture


def ignore_inputs(part):
    """A capture whose replays repeat the captured output, ignoring their inputs."""

    def capture(call):
        if isinstance(call.__self__, CudaGraphStep) != (part == "step"):
            return call
        call()
        return lambda: None

    return capture


BAD_CAPTURES = {
    "refused": (fail_capture, "operation not permitted when stream is capturing)"),
    "another slot's": (
        change_replay("step", lambda out: out._replace(logits=out.logits.roll(1, 0))),
        "differed from the plain one",
    ),
    "not a number": (
        change_replay("step", lambda out: out._replace(hidden=out.hidden * torch.nan)),
        "plain one by nan",
    ),
    "step ignoring its inputs": (ignore_inputs("step"), "differed from the plain one"),
    "sampler ignoring its inputs": (ignore_inputs("sampler"), "other codes"),
    "wrong codes": (change_replay("draw", lambda out: out._replace(frames=out.frames.roll(1, 1))), "other codes"),
    "wrong moves": (change_replay("draw", lambda out: out._replace(moves=out.moves + 1)), "other codes"),
}


@pytest.mark.parametrize(("capture", "reason"), BAD_CAPTURES.values(), ids=BAD_CAPTURES)
def test_failed_or_wrong_captures_are_disabled_and_logged(capture, reason, caplog):
    plain = tiny_lm("phonogram").narrow_head()
    captured = with_graphs(plain, capture)
    expected, actual = BatchGeneration(plain, range(3)), BatchGeneration(captured, range(3))
    with caplog.at_level(logging.WARNING):
        assert torch.equal(actual.generate(8), expected.generate(8))
    assert largest_difference(actual.out, expected.out) <= GRAPH.tolerance
    assert actual.state.slow.lengths == expected.state.slow.lengths
    assert reason in captured.disabled_reason and "\n" not in captured.disabled_reason
    assert [captured.disabled_reason in record.message for record in caplog.records] == [True]
    assert not actual.state.step_graphs and not actual.state.sampler_graphs
    for a, b in zip(actual.samplers, expected.samplers, strict=True):
        assert a.frame == b.frame and a.pointer.path == b.pointer.path


def test_other_errors_propagate():
    def broken(call):
        raise ValueError("ours")

    captured = with_graphs(tiny_lm("s1").narrow_head(), broken)
    state = captured.init_state(1)
    captured.prefill(tiny_prompt(captured), state, 0)
    with pytest.raises(ValueError, match="ours"):
        captured.step(some_frames(captured, 0), state, [0])


class MetaDeviceOnly(TorchDispatchMode):
    """Every operation uses tensors of the meta device, which have no values."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs, out)) if isinstance(x, torch.Tensor)]
        assert all(tensor.device.type == "meta" for tensor in tensors), func
        return out


class MetaPinnedInput(PinnedInput):
    def __init__(self, n_lines, n_columns, dtype, device):
        super().__init__(n_lines, n_columns, dtype, CPU)
        self.tensor = self.tensor.to(device)


@pytest.mark.parametrize("kind", KINDS)
def test_captured_code_reads_no_values_and_stays_on_its_device(monkeypatch, kind):
    """Either would synchronize with the GPU, which a driver rejects during capture."""
    for module in (cuda_step, cuda_sampler):
        monkeypatch.setattr(module, "PinnedInput", MetaPinnedInput)
    lm = tiny_lm(kind).narrow_head().to("meta")
    state = lm.init_state(4)
    state.reserve(64)
    kinds = ((3, True, True, True, False), (0, False, False, False, True))
    recordings = [CudaGraphStep(lm, state, 3, 32, has_side) for has_side in {False, lm.spec.n_side > 0}]
    recordings += [CudaGraphSampler(lm, state.fast, 3, SamplerKind(*kind_of_sampler)) for kind_of_sampler in kinds]
    for recording in recordings:
        with MetaDeviceOnly():
            recording.compute()
    with pytest.raises(AssertionError), MetaDeviceOnly():
        torch.zeros(3, device="meta") + torch.tensor(1.0)


@pytest.mark.cuda
@NEEDS_CUDA
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_captured_on_a_gpu_equals_the_plain_model(kind, dtype):
    plain = tiny_lm(kind).narrow_head().to("cuda", dtype)
    captured = with_graphs(plain)
    expected, actual = BatchGeneration(plain, range(5)), BatchGeneration(captured, range(5))
    speech = expected.generate(20), actual.generate(20)
    assert_captured(captured, actual.state)
    assert not any(step._replay == step._run for step in actual.state.step_graphs.values()), "nothing was captured"
    if dtype == torch.float32:
        assert torch.equal(*speech)
    else:
        # Equal logits after the prompt; later ones round differently and may sample other codes.
        assert torch.equal(speech[0][:, 0, 0], speech[1][:, 0, 0])
