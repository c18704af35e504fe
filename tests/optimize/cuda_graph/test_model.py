"""Steps and draws that can be recorded say what the plain ones say; what cannot be recorded, or differs, is not used."""

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
from tests.support.lm_parity import frames as some_frames
from tests.support.speakers import OPTIONS, Speakers, largest_difference
from tests.support.tiny_lm import tiny_lm, tiny_prompt

CPU, CARD = torch.device("cpu"), torch.device("cuda")
GRAPH = CudaGraph()
KINDS = ("v15", "s1", "s2", "odd", "one codebook", "phonogram", "own tables")
ON_A_CARD = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA card")


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.inference_mode():
        yield


def graphed(plain, capture=None):
    return CudaGraphDualAR.of(copy.copy(plain), capture)


def pair(kind, **changes):
    plain = tiny_lm(kind, **changes).narrow_head()
    return plain, graphed(plain)


def assert_recorded(lm, state):
    assert lm.given_up is None and state.steps and state.draws


@pytest.mark.parametrize("options", [OPTIONS, OPTIONS[:2], OPTIONS[-1:]], ids=["all", "usual", "greedy"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_says_the_frames_of_the_plain_model(kind, options):
    plain, recorded = pair(kind)
    wanted, found = (Speakers(lm, range(5), options) for lm in (plain, recorded))
    assert torch.equal(found.speak(15), wanted.speak(15))
    assert largest_difference(found.out, wanted.out) <= GRAPH.tolerance
    assert torch.equal(found.state.recent, wanted.state.recent)
    for a, b in zip(found.samplers, wanted.samplers, strict=True):
        assert a.frame == b.frame and (a.pointer is None or a.pointer.path == b.pointer.path)
    assert_recorded(recorded, found.state)
    assert len(found.state.steps) == 1, "another recording, although neither rows nor lengths asked for one"


def test_a_row_says_the_same_alone_and_beside_others():
    _, recorded = pair("phonogram")
    said = Speakers(recorded, range(4)).speak(12)
    for row in range(4):
        assert torch.equal(Speakers(recorded, [row]).speak(12)[0], said[row])


def test_rows_come_and_go_between_frames():
    plain, recorded = pair("phonogram")
    wanted, found = Speakers(plain, range(5)), Speakers(recorded, range(5))
    for rows in ([0, 1, 2], [2, 0], [1], [4, 3], [0, 1, 2, 3, 4]):
        for speakers in (wanted, found):
            speakers.speak_on(rows)
        assert torch.equal(found.said[-1], wanted.said[-1])
        assert largest_difference(found.out, wanted.out) <= GRAPH.tolerance
    assert found.state.slow.lengths == wanted.state.slow.lengths
    # Rows beyond the last one that speaks are not computed.
    assert sorted({slots for slots, _, _ in found.state.steps}) == [2, 4, 5]


def test_a_prompt_is_read_between_the_steps_of_others():
    """Whatever the slot held before, and although its steps run along with the others'."""
    plain, recorded = pair("s1")
    prompt, said = tiny_prompt(plain, n_text=20, n_frames=9, seed=7), []
    for lm in (plain, recorded):
        speakers = Speakers(lm, range(3))
        speakers.speak(4)
        state = speakers.state
        state.reset_row(1)
        for cut in (slice(0, 5), slice(5, 6), slice(6, 29)):
            lm.step(speakers.said[-1][[0, 2]], state, [0, 2])
            out = lm.prefill(prompt._replace(tokens=prompt.tokens[:, cut]), state, 1)
        said.append((lm.step(lm.sample(out, [SamplerState(OPTIONS[0], 3)], state, [1]), state, [1]), out))
    for wanted, found in zip(*said, strict=True):
        assert largest_difference(found, wanted) <= GRAPH.tolerance
    assert_recorded(recorded, state)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_called_in_whatever_order_gives_what_the_plain_model_gives(monkeypatch, seed):
    monkeypatch.setattr(cuda_graph, "FIRST_FRAMES", 16)
    monkeypatch.setattr(cuda_graph, "LEAST_CAPACITY", 8)
    plain, recorded = pair("phonogram")
    random, states = Random(seed), [lm.init_state(5, 150) for lm in (plain, recorded)]
    prefixes, n_steps, shapes = None, 0, set()

    def both(call):
        wanted, found = (call(lm, state) for lm, state in zip((plain, recorded), states, strict=True))
        assert states[0].slow.lengths == states[1].slow.lengths
        return wanted, found

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
        shapes |= set(states[1].steps)
    assert recorded.given_up is None and n_steps > 20
    assert len({capacity for _, capacity, _ in shapes}) > 2 and len({slots for slots, _, _ in shapes}) > 2


@pytest.mark.parametrize("n_held", [0, 11, 40])
def test_a_slot_that_does_not_speak_stays_as_it_is_be_it_empty_or_full(n_held):
    _, recorded = pair("s1")
    state = recorded.init_state(3, 40)
    for row in (0, 2):
        recorded.prefill(tiny_prompt(recorded, seed=row), state, row)
    if n_held:
        recorded.prefill(tiny_prompt(recorded, n_text=n_held - 6), state, 1)
    kept = [past[:, 1, :, : state.slow.capacity].clone() for past in (state.slow.keys, state.slow.values)]
    for _ in range(25):
        out = recorded.step(some_frames(recorded, 0, 1), state, [0, 2])
    assert out.logits.isfinite().all() and state.slow.lengths == [40, n_held, 40]
    for past, before in zip((state.slow.keys, state.slow.values), kept, strict=True):
        assert torch.equal(past[:, 1, :, : state.slow.capacity], before)
    with pytest.raises(LimitExceeded, match="41 frames; the limit is 40"):
        recorded.step(some_frames(recorded, 0, 1), state, [0, 2])
    assert state.slow.lengths == [40, n_held, 40]


def test_memory_that_moved_takes_its_recordings_with_it(monkeypatch):
    monkeypatch.setattr(cuda_graph, "FIRST_FRAMES", 16)
    plain, recorded = pair("s2", max_seq_len=700)
    wanted, found = Speakers(plain, [0, 1]), Speakers(recorded, [0, 1])
    first = found.state.slow.keys
    for n_text in (10, 150, 300):
        # Slot 1 reads a longer prompt; slot 0 goes on.
        for speakers in (wanted, found):
            speakers.state.reset_row(1)
            speakers.lm.prefill(tiny_prompt(plain, n_text=n_text), speakers.state, 1)
            speakers.speak(8)
        assert largest_difference(found.out, wanted.out) <= GRAPH.tolerance
        assert all(step.keys is found.state.slow.keys for step in found.state.steps.values())
    assert found.state.slow.keys is not first and torch.equal(*(torch.stack(s.said) for s in (found, wanted)))
    assert_recorded(recorded, found.state)


def test_steps_that_grow_the_memory_go_on():
    plain, recorded = pair("s1", max_seq_len=700)
    outs = []
    for lm in (plain, recorded):
        state = lm.init_state(2)
        if lm is recorded:
            # As if the first grant had been small.
            state.slow.keys, state.slow.values = (past[:, :, :, :17] for past in (state.slow.keys, state.slow.values))
        for row in range(2):
            lm.prefill(tiny_prompt(lm, seed=row), state, row)
        outs.append([lm.step(some_frames(lm, n, n + 1), state, [0, 1]) for n in range(4)])
    assert all(largest_difference(found, wanted) <= GRAPH.tolerance for wanted, found in zip(*outs, strict=True))
    assert state.slow.capacity >= 128 and recorded.given_up is None


def test_a_loaded_prefix_continues_like_a_prefill():
    plain, recorded = pair("phonogram")
    outs = []
    for lm in (plain, recorded):
        prompt, state = tiny_prompt(lm), lm.init_state(3)
        lm.prefill(prompt, state, 0)
        prefix = state.copy_prefix(0, 10)
        for _ in range(3):
            lm.step(some_frames(lm, 2), state, [0], prompt.side[:1])
        state.load_prefix(2, prefix)
        outs += [lm.step(some_frames(lm, 3, 4), state, [2, 0], prompt.side[1:3])]
    assert largest_difference(*outs) <= GRAPH.tolerance
    assert recorded.given_up is None and len(state.steps) == 2


@pytest.mark.parametrize("what", ["no side ids", "an end", "halves"])
def test_steps_of_other_kinds_are_recorded_as_well(what):
    plain, recorded = pair("own tables")
    outs = []
    for lm in (plain, recorded):
        state = lm.init_state(2, kv_dtype=torch.bfloat16 if what == "halves" else None)
        for row in range(2):
            lm.prefill(tiny_prompt(lm, seed=row), state, row)
        frames = some_frames(lm, 0, 1)
        if what == "an end":
            frames[1, 0] = lm.spec.end_id
        outs.append(lm.step(frames, state, [0, 1], None if what == "no side ids" else torch.ones(2, 2).long()))
    assert largest_difference(*outs) <= (2e-2 if what == "halves" else GRAPH.tolerance)
    assert recorded.given_up is None and state.steps


def test_voices_with_a_fast_stack_of_their_own_draw_with_it():
    plain = tiny_lm("own tables").narrow_head()
    torch.manual_seed(3)
    voice = plain.with_own_fast()
    for tensor in voice.fast_tensors.values():
        tensor.add_(torch.randn_like(tensor) * 0.2)
    said = []
    for wrapped in (copy.copy, graphed):
        lm, frame_sampler = wrapped(plain), wrapped(voice.with_own_fast())
        frame_sampler.keep_fast_only()
        speakers = Speakers(lm, range(4), OPTIONS[:1])
        for sampler in speakers.samplers[1:3]:
            sampler.frame_sampler = frame_sampler
        said.append(speakers.speak(10))
    assert torch.equal(*said) and frame_sampler.given_up is None
    assert len({id(draw.lm) for draw in speakers.state.draws.values()}) == 2


def test_requests_that_follow_each_other_draw_each_by_its_own_options():
    plain, recorded = pair("s1")
    wanted, found = Speakers(plain, range(3), OPTIONS[1:2]), Speakers(recorded, range(3), OPTIONS[1:2])
    for temperature, top_p, min_p in ((1.2, 1.0, None), (0.3, 0.9, 0.1), (5.0, 1.0, None), (0.3, 0.2, None)):
        for speakers in (wanted, found):
            for sampler in speakers.samplers[:2]:
                sampler.options = replace(OPTIONS[1], temperature=temperature, top_p=top_p, min_p=min_p)
            speakers.speak(4)
    assert torch.equal(torch.stack(found.said), torch.stack(wanted.said))
    assert len(found.state.draws) == 1


def test_what_is_returned_is_not_overwritten_by_the_next():
    _, recorded = pair("phonogram")
    speakers = Speakers(recorded, range(2))
    speakers.speak(1)
    out, frames = speakers.out, speakers.said[-1]
    kept = [tensor.clone() for tensor in (out.logits, out.hidden, out.aux["advance"], frames)]
    speakers.speak(2)
    assert all(map(torch.equal, kept, (out.logits, out.hidden, out.aux["advance"], frames)))


def test_recordings_are_bounded_and_the_one_used_longest_ago_makes_room(monkeypatch):
    monkeypatch.setattr(cuda_graph, "MAX_RECORDINGS", 2)
    _, recorded = pair("s1")
    speakers = Speakers(recorded, range(5))
    speakers.speak(1)
    for row in (0, 1, 0, 4, 0):
        recorded.step(speakers.said[-1][[row]], speakers.state, [row])
        if row == 0:
            kept = speakers.state.steps[(1, 200, False)]
    assert len(speakers.state.steps) == 2 and speakers.state.steps[(1, 200, False)] is kept
    assert (2, 200, False) not in speakers.state.steps


def refuse(call):
    raise torch.AcceleratorError("operation not permitted when stream is capturing\nmore lines")


def spoil(part, change):
    """A capture whose replays leave something else, of steps or of draws."""

    def capture(call):
        recording = call.__self__
        if isinstance(recording, CudaGraphStep) != (part == "step"):
            return call

        def replay():
            call()
            recording.out = change(recording.out)

        return replay

    return capture


def forget_inputs(part):
    """A capture whose replays repeat what was recorded, whatever they are told."""

    def capture(call):
        if isinstance(call.__self__, CudaGraphStep) != (part == "step"):
            return call
        call()
        return lambda: None

    return capture


SPOILED = {
    "refused": (refuse, "operation not permitted when stream is capturing)"),
    "another slot's": (spoil("step", lambda out: out._replace(logits=out.logits.roll(1, 0))), "from the plain one"),
    "not a number": (spoil("step", lambda out: out._replace(hidden=out.hidden * torch.nan)), "nan from the plain one"),
    "deaf step": (forget_inputs("step"), "from the plain one"),
    "deaf draw": (forget_inputs("draw"), "other codes"),
    "wrong codes": (spoil("draw", lambda out: out._replace(frames=out.frames.roll(1, 1))), "other codes"),
    "wrong moves": (spoil("draw", lambda out: out._replace(moves=out.moves + 1)), "other codes"),
}


@pytest.mark.parametrize(("capture", "reason"), SPOILED.values(), ids=SPOILED)
def test_what_cannot_be_recorded_or_differs_is_not_used_and_says_so(capture, reason, caplog):
    plain = tiny_lm("phonogram").narrow_head()
    recorded = graphed(plain, capture)
    wanted, found = Speakers(plain, range(3)), Speakers(recorded, range(3))
    with caplog.at_level(logging.WARNING):
        assert torch.equal(found.speak(8), wanted.speak(8))
    assert largest_difference(found.out, wanted.out) <= GRAPH.tolerance
    assert found.state.slow.lengths == wanted.state.slow.lengths
    assert reason in recorded.given_up and "\n" not in recorded.given_up
    assert [recorded.given_up in record.message for record in caplog.records] == [True]
    assert not found.state.steps and not found.state.draws
    for a, b in zip(found.samplers, wanted.samplers, strict=True):
        assert a.frame == b.frame and a.pointer.path == b.pointer.path


def test_errors_of_our_own_are_not_taken_for_the_cards():
    def broken(call):
        raise ValueError("ours")

    recorded = graphed(tiny_lm("s1").narrow_head(), broken)
    state = recorded.init_state(1)
    recorded.prefill(tiny_prompt(recorded), state, 0)
    with pytest.raises(ValueError, match="ours"):
        recorded.step(some_frames(recorded, 0), state, [0])


class OnOneDevice(TorchDispatchMode):
    """Every operation is on tensors of the meta device, which have no values to look at."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs, out)) if isinstance(x, torch.Tensor)]
        assert all(tensor.device.type == "meta" for tensor in tensors), func
        return out


class NumbersNowhere(PinnedInput):
    def __init__(self, n_lines, n_columns, dtype, device):
        super().__init__(n_lines, n_columns, dtype, CPU)
        self.tensor = self.tensor.to(device)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_recorded_looks_at_no_value_and_leaves_its_device_for_nothing(monkeypatch, kind):
    """Either would wait for the card, which a driver refuses while it records."""
    for module in (cuda_step, cuda_sampler):
        monkeypatch.setattr(module, "PinnedInput", NumbersNowhere)
    lm = tiny_lm(kind).narrow_head().to("meta")
    state = lm.init_state(4)
    state.reserve(64)
    wishes = ((3, True, True, True, False), (0, False, False, False, True))
    recordings = [CudaGraphStep(lm, state, 3, 32, has_side) for has_side in {False, lm.spec.n_side > 0}]
    recordings += [CudaGraphSampler(lm, state.fast, 3, SamplerKind(*wish)) for wish in wishes]
    for recording in recordings:
        with OnOneDevice():
            recording.compute()
    with pytest.raises(AssertionError), OnOneDevice():
        torch.zeros(3, device="meta") + torch.tensor(1.0)


@pytest.mark.cuda
@ON_A_CARD
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_recorded_on_a_card_it_says_what_the_plain_model_says(kind, dtype):
    plain = tiny_lm(kind).narrow_head().to("cuda", dtype)
    recorded = graphed(plain)
    wanted, found = Speakers(plain, range(5)), Speakers(recorded, range(5))
    said = wanted.speak(20), found.speak(20)
    assert_recorded(recorded, found.state)
    assert not any(step._replay == step._run for step in found.state.steps.values()), "nothing was recorded"
    if dtype == torch.float32:
        assert torch.equal(*said)
    else:
        # From the same logits, read from the prompt; later ones are rounded otherwise, and may draw other codes.
        assert torch.equal(said[0][:, 0, 0], said[1][:, 0, 0])
