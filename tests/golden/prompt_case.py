"""Prompt cases: tokenize_*.json, prompts_*.json and normalise_*.json next to their tokenizer folders."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from backend.errors import BadCheckpoint, BadText, LimitExceeded
from backend.text.prompts.conversation import Conversation, start_conversation
from backend.text.prompts.layout import PromptReference
from backend.text.segmentation.fish_v15 import clean_v15, split_v15
from backend.text.tokenizers.base import Tokenizer, load_tokenizer
from tests.golden.finding import Finding
from tests.support.prompt_columns import split_stop

KINDS = ("tokenize_", "prompts_", "normalise_")
# The reference reserves this much of the sequence for speech.
N_RESERVED = 2048


def accepts(meta: Mapping[str, Any]) -> bool:
    return any(name.startswith(KINDS) for name in meta.get("json_files", ()))


def check(folder: Path, meta: Mapping[str, Any]) -> Iterator[Finding]:
    """Compares every case of every file. Raises `BadCheckpoint` for a file of another layout."""
    for name in meta["json_files"]:
        path = folder / name
        try:
            if name.startswith("tokenize_"):
                yield from check_tokenizer(folder, json.loads(path.read_text(encoding="utf-8")))
            elif name.startswith("prompts_"):
                yield from check_prompts(folder, json.loads(path.read_text(encoding="utf-8")))
            elif name.startswith("normalise_"):
                yield from check_cleaning(json.loads(path.read_text(encoding="utf-8")))
        except (KeyError, ValueError) as error:
            raise BadCheckpoint(f"{name} is not of the layout ({type(error).__name__}: {error}).") from error


def exact(name: str, n_wrong: int, n: int, first: str = "") -> Finding:
    return Finding(name, n_wrong, f"0 of {n}", n_wrong == 0, first)


def check_tokenizer(folder: Path, listed: Mapping[str, Any]) -> Iterator[Finding]:
    tokenizer = load_tokenizer(folder / listed["tokenizer"])
    found_ids = (tokenizer.semantic_begin_id, tokenizer.semantic_end_id, tokenizer.end_id)
    ids = tuple(listed[key] for key in ("semantic_begin_id", "semantic_end_id", "im_end_id"))
    family, cases = listed["era"], listed["cases"]
    yield exact(f"{family}.control ids", sum(a != b for a, b in zip(found_ids, ids, strict=True)), len(ids))
    found = {
        "ids": [tokenizer.encode_with_controls(case["text"]) for case in cases],
        "ids_literal": [tokenizer.encode(case["text"], allow_phonemes=False) for case in cases],
        "ids_sane": [tokenizer.encode(case["text"]) for case in cases],
        "decoded": [tokenizer.decode(case["ids"]) for case in cases],
    }
    for key, values in found.items():
        wrong = [case["text"] for case, value in zip(cases, values, strict=True) if value != case[key]]
        yield exact(f"{family}.{key}", len(wrong), len(cases), f"first: {wrong[0][:40]!r}" if wrong else "")


def check_cleaning(listed: Mapping[str, Any]) -> Iterator[Finding]:
    cases = listed["cases"]
    wrong = sum(clean_v15(case["text"]) != case["cleaned"] for case in cases)
    yield exact("v15.cleaned", wrong, len(cases))
    splits = [(case["text"], int(limit), pieces) for case in cases for limit, pieces in case["split"].items()]
    wrong = sum(split_v15(text, limit) != pieces for text, limit, pieces in splits)
    yield exact("v15.split", wrong, len(splits))


def check_prompts(folder: Path, listed: Mapping[str, Any]) -> Iterator[Finding]:
    tokenizer = load_tokenizer(folder / listed["tokenizer"])
    for case in listed["cases"]:
        name = f"{listed['era']}.{case['name']}"
        yield check_steps(f"{name} as upstream", tokenizer, listed, case, case["expected"], as_upstream=True)
        sane = case.get("sane", case["expected"])
        if not case["text"].strip():
            yield check_refusal(name, tokenizer, listed, case)
        elif "steps" in sane or "error" in sane:
            yield check_steps(f"{name} sane", tokenizer, listed, case, sane, as_upstream=False)
        else:
            yield check_nothing_twice(name, tokenizer, listed, case)


def start(
    tokenizer: Tokenizer, listed: Mapping[str, Any], case: Mapping[str, Any], *, as_upstream: bool
) -> Conversation:
    references = case["references"]
    if references is not None:
        references = [PromptReference(r["text"], np.array(r["codes"], dtype=np.int64)) for r in references]
    return start_conversation(
        listed["era"], tokenizer, listed["num_codebooks"], case["text"], references,
        chunk_length=case["chunk_length"], max_seq_len=case["max_seq_len"], n_reserved=N_RESERVED,
        max_length=case.get("max_length"),
        # The first two reference generations never split at sentences; the engine does, which has its own tests.
        split_long=listed["era"] == "v15" and case.get("iterative_prompt") is not False,
        as_upstream=as_upstream,
    )  # fmt: skip


def check_steps(
    name: str,
    tokenizer: Tokenizer,
    listed: Mapping[str, Any],
    case: Mapping[str, Any],
    expected: Mapping[str, Any],
    *,
    as_upstream: bool,
) -> Finding:
    """Compares every prompt, the text of every segment and the codes."""
    try:
        conversation = start(tokenizer, listed, case, as_upstream=as_upstream)
        if "error" in expected:
            conversation.prompt(0)
            return exact(name, 1, 1, "not refused")
    except LimitExceeded as error:
        return exact(name, int("error" not in expected), 1, "refused" if "error" in expected else str(error))
    steps = expected["steps"]
    if len(conversation.segments) != len(steps):
        return exact(name, len(steps), len(steps), f"{len(conversation.segments)} segments")
    n_wrong = 0
    for k, step in enumerate(steps):
        generated = np.array(case["fake_generated"][step["fake_generated_index"]], dtype=np.int64)
        codes, stop_codes = split_stop(generated, tokenizer.end_id)
        audible = codes
        if as_upstream:
            audible = generated[1:, 1:] if listed["era"] == "v15" else generated[1:, :-1]
            codes = codes if listed["era"] == "v15" else audible
        n_wrong += not (
            np.array_equal(conversation.prompt(k), step["prompt"])
            and conversation.segments[k].text == step["segment_text"]
            and np.array_equal(audible, step["returned_codes"])
        )
        conversation.add(k, codes, stop_codes)
    return exact(name, n_wrong, len(steps))


def check_refusal(name: str, tokenizer: Tokenizer, listed: Mapping[str, Any], case: Mapping[str, Any]) -> Finding:
    try:
        start(tokenizer, listed, case, as_upstream=False)
    except BadText:
        return exact(f"{name} refused", 0, 1)
    return exact(f"{name} refused", 1, 1, "spoken")


def check_nothing_twice(name: str, tokenizer: Tokenizer, listed: Mapping[str, Any], case: Mapping[str, Any]) -> Finding:
    """Checks that the newest segment occurs once in its prompt, and no other more than once."""
    conversation = start(tokenizer, listed, case, as_upstream=False)
    texts = [np.array(tokenizer.encode(segment.text), np.int64).tobytes() for segment in conversation.segments]
    n_wrong = 0
    for k in range(len(texts)):
        generated = np.array(case["fake_generated"][k % len(case["fake_generated"])], dtype=np.int64)
        row = conversation.prompt(k)[0].tobytes()
        n_wrong += row.count(texts[k]) != 1 or any(row.count(text) > 1 for text in texts)
        conversation.add(k, *split_stop(generated, tokenizer.end_id))
    return exact(f"{name} nothing twice", n_wrong, len(texts))
