import pytest
import torch
import torch.nn.functional as F

from backend.errors import BadCodes, LimitExceeded
from backend.lm.base import SamplerState
from backend.lm.kv_cache import attend_row
from backend.lm.sampling_options import SamplingOptions
from backend.lm.spec import Prompt
from backend.lm.teacher_forcing import states
from backend.lm.text_pointer import Pointer, side_ids
from tests.support.tiny_lm import CONFIGS, tiny_lm, tiny_prompt
from tests.support.training_pass import forward_train

KINDS = list(CONFIGS)


@torch.inference_mode()
@pytest.mark.parametrize("n_past", [1, 7, 130])
def test_attend_row_equals_scaled_dot_product_attention(n_past):
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(3, 2, 16, generator=generator)
    keys, values = torch.randn(2, 3, 150, 16, generator=generator)[:, :, :n_past]
    expected = F.scaled_dot_product_attention(q[None], keys[None], values[None])[0]
    assert torch.allclose(attend_row(q, keys, values), expected, atol=1e-6)


def part_of(prompt, start, end):
    side = None if prompt.side is None else prompt.side[start:end]
    return Prompt(prompt.tokens[:, start:end], prompt.conditioning if start == 0 else None, side)


def sampler(model, seed, options=None):
    pointer = Pointer([3, 5, 7, 2] * 20, model.spec.n_side, max_spent=5) if model.spec.n_side else None
    return SamplerState(options or SamplingOptions(), seed=seed, pointer=pointer)


def sample_batch(model, prompts, n_frames, state=None, rows=None, options=None):
    """Samples frames [B, n, R] of all rows in one batch, row i seeded i + 100."""
    state = state or model.init_state(len(prompts))
    rows = rows or list(range(len(prompts)))
    samplers = [sampler(model, 100 + i, options) for i in range(len(prompts))]
    outs = [model.prefill(prompt, state, row) for prompt, row in zip(prompts, rows, strict=True)]
    frames = [model.sample(out, [s], state, [row]) for out, s, row in zip(outs, samplers, rows, strict=True)]
    frames = [torch.cat(frames)]
    for _ in range(n_frames - 1):
        out = model.step(frames[-1], state, rows, side_ids([s.pointer for s in samplers]))
        frames.append(model.sample(out, samplers, state, rows))
    return torch.stack(frames, 1)


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_steps_equal_the_whole_pass(kind):
    model, prompt = tiny_lm(kind), tiny_prompt(tiny_lm(kind), 9, 8)
    conditioning = None if prompt.conditioning is None else prompt.conditioning[None]
    side = None if prompt.side is None else prompt.side[None]
    x, normed = states(model, prompt.tokens[None], None, conditioning, side, is_scaled=True)
    state = model.init_state(1)
    out = model.prefill(part_of(prompt, 0, 3), state, 0)
    hidden = [out.hidden]
    for t in range(3, 17):
        one = part_of(prompt, t, t + 1)
        out = model.step(one.tokens.T, state, [0], one.side)
        hidden.append(out.hidden)
    torch.testing.assert_close(torch.cat(hidden), model.fast_input(x, normed)[0, 2:], atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(out.logits[:, :-1], model.vocabulary_logits(normed)[:, -1, 60:84], atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(out.logits[:, -1], model.vocabulary_logits(normed)[:, -1, 7], atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_split_prefill_equals_whole_prefill(kind):
    model, prompt = tiny_lm(kind), tiny_prompt(tiny_lm(kind), 9, 8)
    whole = model.prefill(prompt, model.init_state(1), 0)
    for cut in (1, 2, 8, 16):
        state = model.init_state(1)
        model.prefill(part_of(prompt, 0, cut), state, 0)
        out = model.prefill(part_of(prompt, cut, 17), state, 0)
        assert state.length(0) == 17
        torch.testing.assert_close(out.logits, whole.logits, atol=2e-5, rtol=1e-5)
        torch.testing.assert_close(out.hidden, whole.hidden, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_batch_of_eight_equals_single_rows(kind):
    model = tiny_lm(kind)
    prompts = [tiny_prompt(model, 5 + 3 * i, 4 + i % 3, seed=i) for i in range(8)]
    together = sample_batch(model, prompts, 20)
    for i, prompt in enumerate(prompts):
        state = model.init_state(1)
        s = sampler(model, 100 + i)
        frame = model.sample(model.prefill(prompt, state, 0), [s], state, [0])
        for t in range(20):
            assert torch.equal(frame[0], together[i, t]), (i, t)
            frame = model.sample(model.step(frame, state, [0], side_ids([s.pointer])), [s], state, [0])
    assert len(together.unique(dim=0)) == 8


@torch.inference_mode()
def test_masked_attention_equals_per_row_attention(monkeypatch):
    model = tiny_lm("s1")
    prompts = [tiny_prompt(model, 5 + 9 * i, 4, seed=i) for i in range(4)]
    one_by_one = sample_batch(model, prompts, 8, model.init_state(6), rows=[4, 0, 5, 2])
    monkeypatch.setattr("backend.lm.kv_cache.prefers_masking", lambda device: True)
    assert torch.equal(sample_batch(model, prompts, 8, model.init_state(6), rows=[4, 0, 5, 2]), one_by_one)


@torch.inference_mode()
def test_reset_slots_equal_fresh_slots():
    model = tiny_lm("s1")
    prompts = [tiny_prompt(model, seed=i) for i in range(2)]
    fresh = sample_batch(model, prompts, 6)
    state = model.init_state(4)
    sample_batch(model, [tiny_prompt(model, 30, 9, seed=9)] * 4, 5, state)
    for row in range(4):
        state.reset_row(row)
    assert torch.equal(sample_batch(model, prompts, 6, state, rows=[3, 1]), fresh)


@pytest.mark.parametrize("kind", ["s2", "phonogram"])
@torch.inference_mode()
def test_a_loaded_prefix_continues_like_a_prefill(kind):
    model, prompt = tiny_lm(kind), tiny_prompt(tiny_lm(kind), 9, 8)
    state = model.init_state(3)
    model.prefill(part_of(prompt, 0, 12), state, 0)
    prefix = state.copy_prefix(0, 10)
    assert prefix.n_frames == 10
    model.prefill(tiny_prompt(model, 20, 4, seed=5), state, 2)
    state.load_prefix(2, prefix)
    out = model.prefill(part_of(prompt, 10, 17), state, 2)
    whole = model.prefill(prompt, model.init_state(1), 0)
    torch.testing.assert_close(out.logits, whole.logits, atol=2e-5, rtol=1e-5)


@torch.inference_mode()
def test_cache_capacity_follows_the_used_length():
    model = tiny_lm("s1", max_seq_len=100_000)
    state = model.init_state(1)
    model.prefill(tiny_prompt(model), state, 0)
    assert state.slow.capacity <= 256
    model.prefill(tiny_prompt(model, 300, 9), state, 0)
    assert 324 <= state.slow.capacity <= 700


@torch.inference_mode()
def test_frames_over_the_limit_are_rejected():
    model = tiny_lm("s1")
    state = model.init_state(1, max_frames=20)
    model.prefill(tiny_prompt(model, 10, 9), state, 0)
    frame = torch.tensor([[60, 0, 1, 2, 3]])
    model.step(frame, state, [0])
    with pytest.raises(LimitExceeded, match="21 frames; the limit is 20"):
        model.step(frame, state, [0])
    assert state.length(0) == 20


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_serving_form_samples_the_same_frames(kind):
    model = tiny_lm(kind, codebook_size=24)
    prompts = [tiny_prompt(model, seed=i) for i in range(2)]
    wide = sample_batch(model, prompts, 8)
    model.narrow_head()
    assert model.output is None and model.head.out_features == 25
    assert torch.equal(sample_batch(model, prompts, 8), wide)


@pytest.mark.parametrize("kv_dtype", [torch.bfloat16, torch.float16])
@torch.inference_mode()
def test_half_precision_kv_cache_is_close(kv_dtype):
    model = tiny_lm("s1")
    prompts = [tiny_prompt(model, seed=i) for i in range(2)]
    outs = []
    for dtype in (None, kv_dtype):
        state = model.init_state(2, kv_dtype=dtype)
        for row, prompt in enumerate(prompts):
            model.prefill(part_of(prompt, 0, 12), state, row)
            model.prefill(part_of(prompt, 12, 15), state, row)
        outs.append(model.step(torch.tensor([[60, 0, 1, 2, 3]] * 2), state, [0, 1]).logits)
    assert state.slow.keys.dtype == kv_dtype
    error = (outs[0] - outs[1]).abs().max()
    assert 0 < error < 0.03, float(error)


@torch.inference_mode()
def test_invalid_prompts_are_rejected():
    model, good = tiny_lm("s1"), tiny_prompt(tiny_lm("s1"))
    state = model.init_state(1)

    def changed(row, value):
        tokens = good.tokens.clone()
        tokens[row, 4] = value
        return Prompt(tokens)

    for bad in (changed(0, 90), changed(0, -1), changed(2, 24), Prompt(good.tokens[:4]), Prompt(good.tokens[:, :0])):
        with pytest.raises(BadCodes):
            model.prefill(bad, state, 0)
    with pytest.raises(BadCodes, match="does not accept a conditioning"):
        model.prefill(Prompt(good.tokens, torch.zeros(5)), state, 0)
    with pytest.raises(BadCodes, match="side ids"):
        model = tiny_lm("phonogram")
        model.prefill(Prompt(tiny_prompt(model).tokens), model.init_state(1), 0)
    assert state.length(0) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_training_learns_and_ignores_padding(kind):
    model, prompt = tiny_lm(kind).requires_grad_(True).train(), tiny_prompt(tiny_lm(kind), 6, 30)
    tokens = torch.stack((prompt.tokens, prompt.tokens))
    conditioning = None if prompt.conditioning is None else prompt.conditioning.expand(2, -1)
    side = None if prompt.side is None else prompt.side.expand(2, -1, -1)
    padding = torch.zeros(2, 36, dtype=torch.bool)
    padding[1, 20:] = True
    plain = forward_train(model, tokens, None, conditioning, side)
    padded = forward_train(model, tokens, padding, conditioning, side)
    torch.testing.assert_close(padded.token_logits[1, :20], plain.token_logits[1, :20], atol=2e-5, rtol=1e-5)
    labels = torch.nn.functional.pad(tokens[:, :, 1:], (0, 1))
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(25):
        with torch.autocast("cpu", torch.bfloat16):
            out = forward_train(model, tokens, padding, conditioning, side)
            is_frame = model.is_frame(labels)
            codes = labels[:, 1:].transpose(1, 2)[is_frame]
            assert out.codebook_logits.shape[:2] == codes.shape
            loss = torch.nn.functional.cross_entropy(out.token_logits[is_frame].float(), labels[:, 0][is_frame])
            loss = loss + torch.nn.functional.cross_entropy(out.codebook_logits.flatten(0, 1).float(), codes.flatten())
            for logits in out.aux.values():
                loss = loss + logits.float().square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0], losses
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not without


@torch.inference_mode()
def test_left_padding_gives_finite_logits():
    model, prompt = tiny_lm("s1"), tiny_prompt(tiny_lm("s1"), 6, 4)
    padding = torch.zeros(1, 10, dtype=torch.bool)
    padding[:, :3] = True
    assert forward_train(model, prompt.tokens[None], padding).token_logits.isfinite().all()


@torch.inference_mode()
def test_attention_reads_only_the_used_prefix(monkeypatch):
    """Neither the maximum length nor the longest row of the batch matters."""
    model = tiny_lm("s1", max_seq_len=100_000)
    read = []

    def recording_attend(q, keys, values):
        read.append(keys.shape[1])
        return attend_row(q, keys, values)

    state = model.init_state(2)
    for row, n_text in enumerate((40, 9)):
        model.prefill(tiny_prompt(model, n_text, 6), state, row)
    assert [state.length(row) for row in range(2)] == [46, 15]
    monkeypatch.setattr("backend.lm.kv_cache.attend_row", recording_attend)
    model.step(torch.zeros(2, model.spec.n_rows, dtype=torch.long), state, [0, 1])
    n_layers = model.config.n_layer
    assert read == [47, 16] * n_layers


@torch.inference_mode()
def test_only_legal_ids_are_computed():
    model, n_called = tiny_lm("s1").narrow_head(), []
    model.fast_output.register_forward_hook(lambda *_: n_called.append(1))
    state = model.init_state(1)
    out = model.prefill(tiny_prompt(model), state, 0)
    assert out.logits.shape[1] == model.head.out_features == model.spec.n_semantic + 1 < model.config.vocab_size
    model.sample(out, [sampler(model, 1)], state, [0])
    # The first code comes from the main id, and the first position has no output.
    assert len(n_called) == model.spec.n_codebooks - 1
