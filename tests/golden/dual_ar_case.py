"""DualAR cases: meta.json with a `config`, the weights, and the reference's outputs for a prompt.

The reference has quirks that the engine does not share: it may sample illegal ids, its S1 penalty indexes a column
instead of a row, its window starts with zeros, and it does not check the first frame for the end. A loop here
reproduces them on the engine's model, so that all arrays can be compared; the engine's own loop is checked separately
for correct behavior.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backend.errors import BadCheckpoint
from backend.lm.config import DualARConfig
from backend.lm.dual_ar import DualAR
from backend.lm.generate import generate
from backend.lm.sampling import RowLimits, limit, penalize
from backend.lm.sampling_options import SamplingOptions
from backend.lm.spec import Prompt
from backend.lm.teacher_forcing import frame_logits, states
from backend.weights.fish_lm import dual_ar_from_tensors
from backend.weights.tensor_files import read_tensors
from tests.golden.finding import Finding, compare, compare_codes
from tests.support.training_pass import forward_train

LOGITS = {"atol": 2e-4, "rtol": 1e-4}
PROBABILITY_ATOL = 1e-6
WINDOW = 16


def accepts(meta: Mapping[str, Any]) -> bool:
    return isinstance(meta.get("config"), dict) and "im_end_id" in meta


def check(folder: Path, meta: Mapping[str, Any]) -> Iterator[Finding]:
    """Compares every array of a case. Raises `BadCheckpoint` for an invalid case."""
    arrays = read_tensors(folder / "arrays.safetensors")
    if "prompt" not in arrays:
        raise BadCheckpoint("arrays.safetensors holds no prompt. Restore the case.")
    config = DualARConfig.from_dict(meta["config"], family=meta.get("era"), end_id=meta["im_end_id"])
    weights = next((folder / name for name in ("model.safetensors", "model.pth") if (folder / name).is_file()), None)
    tensors = read_tensors(weights or folder / "model.safetensors")
    model = dual_ar_from_tensors(config, tensors, is_serving=False)
    with torch.inference_mode():
        yield from check_whole(model, arrays)
        yield from check_training(model, arrays)
        yield from check_sampling(config, meta, arrays)
        yield from check_greedy(model, meta, arrays)
        if "stop_frame" in meta:
            yield from check_stop(model, meta, arrays)
        yield from check_engine(model.narrow_head(), meta, arrays)


def check_whole(model: DualAR, arrays: Mapping[str, Tensor]) -> Iterator[Finding]:
    if "nocache_token_logits" not in arrays:
        return
    length = arrays["nocache_token_logits"].shape[0]
    tokens = arrays["prompt"] if length == arrays["prompt"].shape[1] else arrays["greedy_sequence"][:, :length]
    x, normed = states(model, tokens[None].long(), is_scaled=True)
    yield compare("nocache_hidden", model.fast_input(x, normed)[0], arrays["nocache_hidden"], **LOGITS)
    logits = model.vocabulary_logits(normed)[0]
    yield compare("nocache_token_logits", logits, arrays["nocache_token_logits"], **LOGITS)


def check_training(model: DualAR, arrays: Mapping[str, Tensor]) -> Iterator[Finding]:
    if "train_inp" not in arrays:
        return
    tokens = arrays["train_inp"][None].long()
    padding = arrays["train_key_padding_mask"][None].bool()
    out = forward_train(model, tokens, padding, labels=tokens)
    yield compare("train_token_logits", out.token_logits[0], arrays["train_token_logits"], **LOGITS)
    yield compare("train_codebook_logits", out.codebook_logits, arrays["train_codebook_logits"], **LOGITS)


def check_sampling(config: DualARConfig, meta: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> Iterator[Finding]:
    if "samp_probs" not in arrays:
        return
    found = []
    for temperature, top_p, top_k, penalty in meta["samp_grid"]:
        options = SamplingOptions(temperature, top_p, top_k if config.family == "s2" else None, repetition_penalty=1.0)
        logits = arrays["samp_logits"].float()
        if config.family != "s2":
            recent = arrays["samp_prev"].long().expand(logits.shape[0], -1)
            logits = penalize(logits, recent, torch.full((logits.shape[0], 1), penalty))
        # The reference treats a top-p of 1 like any threshold, and loses the tail where its sums round up.
        limits = RowLimits.of([options], "cpu")._replace(top_p=torch.tensor([[top_p]]))
        scores, ids = limit(logits, limits)
        found.append(torch.zeros_like(logits).scatter_(1, ids, scores.softmax(-1)))
    yield compare("samp_probs", torch.stack(found), arrays["samp_probs"], PROBABILITY_ATOL)


def check_greedy(model: DualAR, meta: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> Iterator[Finding]:
    yield from check_run(model, "greedy_", "prompt", arrays, budget=meta["max_new_tokens"])
    if "greedy_rep13_sequence" in arrays:
        expected = arrays["greedy_rep13_sequence"]
        run = reference_run(model, arrays["prompt"], meta["max_new_tokens"], penalty=1.3)
        yield compare_codes("greedy_rep13_sequence", run["sequence"], expected)


def check_run(model: DualAR, prefix: str, prompt: str, arrays: Mapping[str, Tensor], budget: int) -> Iterator[Finding]:
    if f"{prefix}sequence" not in arrays or prompt not in arrays:
        return
    run = reference_run(model, arrays[prompt], budget)
    yield compare_codes(f"{prefix}sequence", run["sequence"], arrays[f"{prefix}sequence"])
    for name in ("slow_logits", "fast_input", "fast_logits", "slow_margin", "fast_margin"):
        if prefix + name in arrays:
            yield compare(prefix + name, run[name], arrays[prefix + name], **LOGITS)
    if prefix + "fast_logits" in arrays and "cached" in run:
        # The cached passes have no logits at position 0, and only those of legal ids.
        n = model.spec.n_residual
        yield compare(prefix + "fast_logits cached", run["cached"], arrays[prefix + "fast_logits"][:, 1:, :n], **LOGITS)


def reference_run(model: DualAR, prompt: Tensor, budget: int, penalty: float = 1.0) -> dict[str, Tensor]:
    """Greedy decoding with the reference's quirks: returns `sequence` [R, T + N] and the intermediate values of each
    frame.
    """
    spec, config = model.spec, model.config
    state = model.init_state(1)
    T = prompt.shape[1]
    n_frames = min(budget or spec.max_frames, spec.max_frames - T)
    seen: dict[str, list[Tensor]] = {name: [] for name in ("slow_logits", "fast_input", "cached", "hidden")}
    margins: list[Tensor] = []
    frames = [prompt.long()]
    previous = torch.zeros(spec.n_rows, 0, dtype=torch.long)
    out = model.prefill(Prompt(prompt.long()), state, 0)
    for index in range(n_frames):
        normed = out.hidden if config.norm_fastlayer_input else model.norm(out.hidden)
        logits = model.vocabulary_logits(normed)
        seen["slow_logits"].append(logits)
        seen["hidden"].append(out.hidden)
        seen["fast_input"].append(model.fast_project_in(out.hidden))
        if spec.family == "s2":
            is_legal = torch.zeros_like(logits, dtype=torch.bool)
            is_legal[:, spec.semantic_begin_id : spec.semantic_end_id + 1] = True
            is_legal[:, spec.end_id] = True
            logits = logits.masked_fill(~is_legal, -torch.inf)
        margins.append(margin(logits))

        # Filled from the left: until there are 16 frames, the rest holds ids of 0.
        window = torch.nn.functional.pad(previous[:, -WINDOW:], (0, max(0, WINDOW - previous.shape[1])))

        def pick(logits: Tensor, recent: Tensor, is_first: bool = index == 0) -> Tensor:
            if penalty != 1 and not is_first:
                logits = penalize(logits, recent[None], torch.tensor([[penalty]]))
            return logits.argmax(-1)

        # The S1 family intends row 0 and takes column 0: the main id and codes of the oldest frame.
        main = pick(logits, window[:, 0] if spec.family == "s1" else window[0])
        code = (main - spec.semantic_begin_id).clamp(min=0, max=config.codebook_size - 1)
        column = [main, code]
        cached = []
        for k in range(1, spec.n_codebooks):
            fast = model.fast_start(out.hidden, code, state.fast) if k == 1 else model.fast_next(code, k, state.fast)
            cached.append(fast)
            code = pick(fast, window[k + 1])
            column.append(code)
        if cached:
            seen["cached"].append(torch.stack(cached, 1))
        frame = torch.stack(column, 1)
        frames.append(frame.T)
        if index:
            # The frame of the prefill never enters the window and is never checked for the end.
            previous = torch.cat((previous, frame.T), 1)
            if int(main) == spec.end_id:
                break
        if index + 1 < n_frames:
            out = model.step(frame, state, [0])
    result = {name: torch.cat(values) for name, values in seen.items() if values}
    result["sequence"] = torch.cat(frames, 1)
    generated = result["sequence"][:, T:].T
    result["fast_logits"] = frame_logits(model, result.pop("hidden"), generated[:, 1:])
    result["slow_margin"] = torch.cat(margins)
    result["fast_margin"] = margin(result["fast_logits"][:, 1:, : spec.n_residual])
    return result


def margin(logits: Tensor) -> Tensor:
    best, second = logits.topk(2, dim=-1).values.unbind(-1)
    return best - second


def check_stop(model: DualAR, meta: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> Iterator[Finding]:
    yield from check_run(model, "prefill_stop_", "prefill_stop_prompt", arrays, meta["prefill_stop_max_new_tokens"])
    runs = {f"budget_{name}": meta[f"budget_{name}"] for name in ("short", "just_before_stop", "exact")}
    for name, budget in runs.items():
        if f"{name}_sequence" in arrays:
            run = reference_run(model, arrays["prompt"], budget)
            yield compare_codes(f"{name}_sequence", run["sequence"], arrays[f"{name}_sequence"])
    for name, prompt, budget in (
        ("oversized_budget_sequence", "prompt", 10000), ("prefill_stop_fill_sequence", "prefill_stop_prompt", 0),
    ):  # fmt: skip
        if name in arrays:
            run = reference_run(model, arrays[prompt], budget)
            yield compare_codes(name, run["sequence"], arrays[name])


def check_engine(model: DualAR, meta: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> Iterator[Finding]:
    """Runs the engine's loop in its serving form: it stops at the end token and loses no frame."""
    spec = model.spec
    runs = [("stop_codes_sane", "prompt", 0)]
    for name in ("short", "just_before_stop", "exact"):
        runs.append((f"budget_{name}_codes_sane", "prompt", meta.get(f"budget_{name}", 0)))
    expected = {name: arrays[name] for name, _, _ in runs if name in arrays}
    if "stop_frame" in meta and "prefill_stop_prompt" in arrays:
        runs.append(("prefill_stop_codes_sane", "prefill_stop_prompt", 0))
        expected["prefill_stop_codes_sane"] = torch.zeros(spec.n_codebooks, 0, dtype=torch.long)
    if "stop_codes_sane" in arrays:
        runs.append(("one_frame_codes_sane", "prompt", 1))
        expected["one_frame_codes_sane"] = arrays["stop_codes_sane"][:, :1]
    if "greedy_sequence" in arrays:
        greedy = arrays["greedy_sequence"][:, arrays["prompt"].shape[1] :]
        main = greedy[0]
        is_frame = (main >= spec.semantic_begin_id) & (main <= spec.semantic_end_id)
        # Comparable while the reference samples only codes: after that its past differs.
        n = int(is_frame.long().cumprod(0).sum())
        if n:
            runs.append(("greedy_codes", "prompt", n))
            expected["greedy_codes"] = greedy[1:, :n]
    for name, prompt, budget in runs:
        if name in expected:
            (made,) = generate(model, [Prompt(arrays[prompt].long())], SamplingOptions.greedy(), max_new_tokens=budget)
            yield compare_codes(f"engine {name}", made.codes, expected[name])
