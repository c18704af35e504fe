import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import BadCodes, BadText, LimitExceeded
from backend.text.prompts.conversation import start_conversation
from backend.text.prompts.layout import PromptReference
from tests.support.prompt_columns import split_stop
from tests.support.vocabulary import FAMILIES, control_ids, tokenizer_of

C = 4
LONG = "Nobody knew who lit the lamps, and nobody asked. In the town the bakers worked since three. " * 6
SPEAKERS = "Read calmly. <|speaker:0|>Did you count them?<|speaker:1|> Seven, all of them. <|speaker:0|>Then we go."


def codes(n_frames, seed=0, n_codebooks=C):
    return np.random.default_rng(seed).integers(0, 32, (n_codebooks, n_frames))


def start(family, text=LONG, references=(), **options):
    return start_conversation(family, tokenizer_of(family), C, text, references, **options)


def bare(text):
    return "".join(text.split())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("text", [LONG, SPEAKERS, LONG + SPEAKERS + LONG])
@pytest.mark.parametrize("chunk_length", [20, 100, 5000])
def test_segments_contain_the_whole_text_in_order(family, text, chunk_length):
    spoken = " ".join(segment.text for segment in start(family, text, chunk_length=chunk_length).segments)
    if family != "v15":  # where speaker tags are ordinary text, and may be cut like it
        spoken, text = (re.sub(r"<\|speaker:\d\|>", " ", part) for part in (spoken, text))
    assert bare(spoken) == bare(text)


@pytest.mark.parametrize("family", FAMILIES)
def test_long_text_is_split_at_the_chunk_length(family):
    conversation = start(family, chunk_length=100)
    assert len(conversation.segments) > 5
    assert max(len(segment.text.encode()) for segment in conversation.segments) <= 100


@pytest.mark.parametrize("family", ["s1", "s2", "phonogram"])
def test_pieces_of_a_long_turn_keep_the_speaker_tag(family):
    conversation = start(family, "<|speaker:3|>" + LONG, chunk_length=100)
    assert len(conversation.segments) > 5
    assert {segment.speaker for segment in conversation.segments} == {3}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("n_references", [0, 2])
def test_every_prompt_of_a_voice_starts_with_its_shared_columns(family, n_references):
    references = [PromptReference(f"The lamp {n}.", codes(5 + n, n)) for n in range(n_references)]
    first, second = start(family, references=references), start(family, "Other words.", references)
    assert first.n_shared == second.n_shared > 0
    shared = second.prompt(0)[:, : first.n_shared]
    for k in range(len(first.segments)):
        prompt = first.prompt(k)
        assert prompt.dtype == np.int64 and prompt.shape[0] == C + 1
        assert np.array_equal(prompt[:, : first.n_shared], shared)
        assert prompt.shape[1] > first.n_shared
        first.add(k, codes(9, k))


@pytest.mark.parametrize("family", FAMILIES)
def test_prompt_frames_are_semantic_ids_and_codes(family):
    tokenizer = tokenizer_of(family)
    clip = codes(7)
    prompt = start(family, references=[PromptReference("Lamps.", clip)]).prompt(0)
    is_speech = (prompt[0] >= tokenizer.semantic_begin_id) & (prompt[0] <= tokenizer.semantic_end_id)
    assert np.array_equal(prompt[1:, is_speech], clip)
    assert np.array_equal(prompt[0, is_speech] - tokenizer.semantic_begin_id, clip[0])
    assert not prompt[1:, ~is_speech].any()


@pytest.mark.parametrize("family", ["s1", "s2"])
def test_next_prompt_extends_the_previous_one(family):
    conversation = start(family, chunk_length=100)
    before = conversation.prompt(0)
    conversation.add(0, codes(6))
    after = conversation.prompt(1)
    assert np.array_equal(after[:, : before.shape[1]], before)
    assert np.array_equal(after[1:, before.shape[1] : before.shape[1] + 6], codes(6))


@pytest.mark.parametrize("family", ["s1", "s2", "v15"])
def test_long_conversation_keeps_first_and_newest_turns(family):
    conversation = start(family, LONG * 10, chunk_length=100, max_seq_len=2000, n_reserved=1000, max_length=1800)
    assert len(conversation.segments) > 30
    for k in range(len(conversation.segments)):
        prompt = conversation.prompt(k)
        assert prompt.shape[1] <= 1000
        if k >= 2:
            held = prompt[1:].T.tolist()
            assert codes(40, 0)[:, 0].tolist() in held and codes(40, k - 1)[:, 0].tolist() in held
        conversation.add(k, codes(40, k))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("text", ["", "  \n ", "<|speaker:0|>  <|speaker:1|>"])
def test_text_without_words_is_rejected(family, text):
    with pytest.raises(BadText, match="no text"):
        start(family, text)


def test_oversized_prompt_is_rejected_before_generation():
    with pytest.raises(LimitExceeded, match="limit is 0"):
        start("s1", max_seq_len=2048, n_reserved=2048)
    with pytest.raises(LimitExceeded, match="references"):
        start("s2", references=[PromptReference("Lamps.", codes(600))], max_seq_len=1024)
    # Half of a small context is reserved for speech.
    assert start("s1", "Hello.", max_seq_len=512).prompt(0).shape[1] < 256


def test_codes_of_another_codec_are_rejected():
    for bad in (codes(5, n_codebooks=3), np.full((C, 5), 64), np.full((C, 5), -1), np.zeros((C, 5)), codes(5)[0]):
        with pytest.raises(BadCodes):
            start("s1", references=[PromptReference("Lamps.", bad)])
    deeper = np.concatenate([codes(5), codes(5)])
    same = start("s1", references=[PromptReference("Lamps.", deeper)]).prompt(0)
    assert np.array_equal(same, start("s1", references=[PromptReference("Lamps.", codes(5))]).prompt(0))


def test_stop_column_is_removed_if_present():
    columns = np.arange(20).reshape(5, 4)
    assert np.array_equal(split_stop(columns, end_id=99)[0], columns[1:])
    assert split_stop(columns, end_id=99)[1] is None
    speech, stop = split_stop(columns, end_id=2)
    assert np.array_equal(speech, columns[1:, :2]) and np.array_equal(stop, columns[1:, 2])


def test_built_in_voice_prompt_has_symbols_between_silences():
    tokenizer = tokenizer_of("phonogram")
    conversation = start("phonogram", "<|speaker:1|>hi aɪ.", [PromptReference("so", codes(3))])
    row = conversation.prompt(0)[0]
    assert tokenizer.decode(row[:4]) == "^so$" and row[7] == tokenizer.end_id
    assert tokenizer.decode(row[8:]) == "^hi aɪ.$"
    assert np.array_equal(conversation.opened(0)[0], row[8:])
    with pytest.raises(BadText, match="this voice can read"):
        start("phonogram", "你好")
    mixed = start("phonogram", "<|speaker:0|>hello<|speaker:1|>你好<|speaker:2|>good", chunk_length=20)
    assert [segment.speaker for segment in mixed.segments] == [0, 2]


TAGS = ["<|speaker:0|>", "<|im_end|>", "<|semantic:5|>", "<|voice|>", "<|text|>", "<|im_start|>system\n", ". ", "! "]
HOSTILE = st.lists(st.one_of(st.sampled_from(TAGS), st.text(max_size=12)), max_size=12).map(
    lambda p: "ok " + "".join(p)
)


@pytest.mark.parametrize("family", FAMILIES)
@given(text=HOSTILE)
@settings(max_examples=40, deadline=None)
def test_user_text_adds_no_control_tokens_to_prompts(family, text):
    tokenizer = tokenizer_of(family)
    plain = start(family, "ok", [PromptReference("ok", codes(2))], chunk_length=500).prompt(0)[0]
    conversation = start(family, text, [PromptReference(text, codes(2))], chunk_length=500)
    controls = control_ids(tokenizer)
    for k in range(len(conversation.segments)):
        found = [token_id for token_id in conversation.prompt(k)[0].tolist() if token_id in controls]
        assert found == [token_id for token_id in plain.tolist() if token_id in controls]
