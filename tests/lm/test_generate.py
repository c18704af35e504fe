import json

import pytest
import torch
from safetensors.torch import load_file

from backend.errors import LimitExceeded
from backend.lm.config import DualARConfig
from backend.lm.dual_ar import DualAR
from backend.lm.generate import RunawayLimits, generate
from backend.lm.sampling_options import SamplingOptions
from backend.lm.spec import Prompt
from backend.lm.teacher_forcing import states
from backend.lm.text_pointer import Pointer
from backend.weights.fish_lm import dual_ar_from_tensors
from tests.support.repository import ROOT
from tests.support.tiny_lm import CONFIGS, SHARED, tiny_lm, tiny_prompt

CASES = ROOT / "tests/golden/fish_lm"
GREEDY = SamplingOptions.greedy()


def reference_case(name):
    folder = CASES / name
    meta = json.loads((folder / "meta.json").read_text())
    config = DualARConfig.from_dict(meta["config"], family=meta["era"], end_id=meta["im_end_id"])
    model = dual_ar_from_tensors(config, load_file(folder / "model.safetensors"))
    return model, meta, load_file(folder / "arrays.safetensors")


@pytest.mark.parametrize("name", ["stop_s1like", "stop_s2like", "stop_v15like"])
def test_generation_stops_at_the_end_and_keeps_every_frame(name):
    model, meta, arrays = reference_case(name)
    prompt = Prompt(arrays["prompt"])
    runs = {
        "stop_codes_sane": (0, "stop"), "budget_short_codes_sane": (meta["budget_short"], "length"),
        "budget_just_before_stop_codes_sane": (meta["budget_just_before_stop"], "length"),
        "budget_exact_codes_sane": (meta["budget_exact"], "stop"),
    }  # fmt: skip
    for expected, (budget, reason) in runs.items():
        (made,) = generate(model, [prompt], GREEDY, max_new_tokens=budget)
        assert torch.equal(made.codes, arrays[expected]), expected
        assert made.finish_reason == reason
    one = generate(model, [prompt], GREEDY, max_new_tokens=1)[0]
    assert torch.equal(one.codes, arrays["stop_codes_sane"][:, :1])


@pytest.mark.parametrize("name", ["stop_s1like", "stop_s2like", "stop_v15like"])
def test_end_in_the_first_frame_is_detected(name):
    model, _, arrays = reference_case(name)
    (made,) = generate(model, [Prompt(arrays["prefill_stop_prompt"])], GREEDY)
    assert made.codes.shape == (model.spec.n_codebooks, 0)
    assert made.finish_reason == "stop"


def test_early_ends_do_not_affect_other_rows():
    model, _, arrays = reference_case("stop_s1like")
    prompts = [
        Prompt(arrays["prompt"]),
        short_prompt(model, 5),
        Prompt(arrays["prefill_stop_prompt"]),
        short_prompt(model, 6),
    ]
    options = [GREEDY, SamplingOptions(), GREEDY, SamplingOptions()]
    seeds = [1, 2, 3, 4]
    together = generate(model, prompts, options, seeds=seeds, max_new_tokens=15)
    assert torch.equal(together[0].codes, arrays["stop_codes_sane"])
    for i in range(4):
        (alone,) = generate(model, [prompts[i]], [options[i]], seeds=[seeds[i]], max_new_tokens=15)
        assert torch.equal(alone.frames, together[i].frames)
        assert alone.finish_reason == together[i].finish_reason


def short_prompt(model, seed):
    return Prompt(tiny_prompt(model, 6, 4, seed=seed).tokens)


@pytest.mark.parametrize("kind", CONFIGS)
def test_equal_seeds_give_equal_frames_and_others_differ(kind):
    model = DualAR(DualARConfig.from_dict({**SHARED, **CONFIGS[kind]}))
    prompt = tiny_prompt(model)
    pointers = [Pointer([2, 3, 4] * 60, 3, 5) if model.spec.n_side else None for _ in range(3)]
    made = generate(model, [prompt] * 3, seeds=[5, 5, 2**63 + 5], max_new_tokens=12, pointers=pointers)
    assert torch.equal(made[0].frames, made[1].frames)
    assert not torch.equal(made[0].frames, made[2].frames)
    assert made[0].frames.shape[0] == model.spec.n_rows


def test_pointer_ends_the_speech_and_the_end_token_does_not():
    model = tiny_lm("phonogram")
    # Without a pointer this model would end at once.
    model.embeddings.weight[7] *= 0
    model.embeddings.weight[7] += 3 * states(model, tiny_prompt(model).tokens[None], is_scaled=True)[1][0, -1]
    pointer = Pointer([3, 4, 5, 6, 7], 3, 5)
    (made,) = generate(model, [tiny_prompt(model)], pointers=[pointer])
    assert made.finish_reason == "pointer_end" and pointer.is_finished
    assert 3 <= made.frames.shape[1] <= 30
    assert (made.frames[0] != model.spec.end_id).all()


def test_loop_is_retried_then_cut():
    model = tiny_lm("s1", max_seq_len=2000)
    for name, weight in model.named_parameters():
        if name.endswith(("w2.weight", "wo.weight")):
            weight.zero_()
    received = []
    limits = RunawayLimits(frame_rate_hz=20, longest_frames=1500)
    (made,) = generate(
        model, [tiny_prompt(model)], GREEDY, limits=limits, on_frame=lambda row, frame: received.append(row)
    )
    assert (made.finish_reason, made.attempt) == ("repetition", 1)
    assert made.frames.shape[1] < 20
    assert len(received) < 300
    # Speech without a loop is not retried.
    (free,) = generate(tiny_lm("s1", max_seq_len=2000), [tiny_prompt(model)], limits=limits, max_new_tokens=200)
    assert free.finish_reason in ("stop", "length") and free.attempt == 0


def test_overlong_speech_is_retried():
    model = tiny_lm("s1", max_seq_len=2000).narrow_head()
    model.head.weight[-1] = 0  # the end id is never among the top k
    limits = RunawayLimits(frame_rate_hz=20, longest_frames=25)
    options = SamplingOptions(top_k=5, top_p=1.0)
    received = []
    (made,) = generate(
        model, [tiny_prompt(model)], options, limits=limits, on_frame=lambda row, frame: received.append(frame)
    )
    assert (made.frames.shape[1], made.finish_reason, made.attempt) == (25, "length", 1)
    assert len(received) == 50 and not torch.equal(torch.stack(received[:25]), torch.stack(received[25:]))
    # A requested length is no failure.
    (made,) = generate(model, [tiny_prompt(model)], options, limits=limits, max_new_tokens=20)
    assert (made.frames.shape[1], made.finish_reason, made.attempt) == (20, "length", 0)


def test_prompt_without_a_free_position_is_rejected():
    model = tiny_lm("s1")
    with pytest.raises(LimitExceeded, match="200 positions of 200"):
        generate(model, [tiny_prompt(model, 191, 9)])
