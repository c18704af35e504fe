import base64
import json
import shutil
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import BadCheckpoint
from backend.text.phonemes.english import SYMBOLS
from backend.text.tokenizers.base import load_tokenizer
from backend.text.tokenizers.phoneme import PhonemeTokenizer
from backend.text.tokenizers.tiktoken import ORDER_S1, read_ranks
from tests.support.vocabulary import FAMILIES, FOLDER, control_ids, tokenizer_of

CONTROLS = ["im_start", "im_end", "semantic:0", "semantic:63", "voice", "interleave", "pad", "text", "speaker:0"]
HOSTILE = st.lists(
    st.one_of(st.sampled_from([f"<|{name}|>" for name in CONTROLS] + ["<|", "|>", "<think>", "\ud800"]), st.text()),
    max_size=8,
).map("".join)


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(FOLDER / "tok_s1", tmp_path / "tok")
    return tmp_path / "tok"


@pytest.mark.parametrize("family", FAMILIES)
@given(text=HOSTILE)
@settings(max_examples=40, deadline=None)
def test_no_text_becomes_a_control_token(family, text):
    tokenizer = tokenizer_of(family)
    assert not control_ids(tokenizer) & set(tokenizer.encode(text))


@pytest.mark.parametrize("family", ["s1", "s2", "v15"])
@given(text=st.text(max_size=60))
@settings(max_examples=40, deadline=None)
def test_decode_inverts_encode(family, text):
    tokenizer = tokenizer_of(family)
    wanted = unicodedata.normalize("NFC", text) if family == "s2" else text
    assert tokenizer.decode(tokenizer.encode(text)) == wanted


@pytest.mark.parametrize("family", ["s1", "s2"])
def test_phoneme_pair_is_recognized_unless_disabled(family):
    tokenizer = tokenizer_of(family)
    text = "a <|phoneme_start|>HH AA1<|phoneme_end|> b"
    start, end = tokenizer.control_id("phoneme_start"), tokenizer.control_id("phoneme_end")
    ids = tokenizer.encode(text)
    assert (ids.count(start), ids.count(end)) == (1, 1)
    assert not {start, end} & set(tokenizer.encode(text, allow_phonemes=False))
    assert tokenizer.decode(ids) == tokenizer.decode(tokenizer.encode(text, allow_phonemes=False)) == text


def test_text_over_the_piece_limit_is_encoded_completely():
    tokenizer = tokenizer_of("s1")
    text = "storm " * 70_000
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_ids_come_from_special_tokens_json_if_present(folder):
    special = folder / "special_tokens.json"
    ids = json.loads(special.read_text())
    special.write_text(json.dumps({name: token_id + 5 for name, token_id in ids.items()}))
    tokenizer = load_tokenizer(folder)
    assert tokenizer.end_id == ids["<|im_end|>"] + 5
    assert tokenizer.n_vocab == max(ids.values()) + 6


@pytest.mark.parametrize(("codebook_size", "n_before"), [(4096, len(ORDER_S1)), (1024, 12)])
def test_without_special_tokens_json_ids_follow_the_ranks(folder, codebook_size, n_before):
    (folder / "special_tokens.json").unlink()
    (folder / "config.json").write_text(json.dumps({"codebook_size": codebook_size}))
    tokenizer = load_tokenizer(folder)
    n_ranks = len(read_ranks(folder / "tokenizer.tiktoken"))
    assert tokenizer.control_id("begin_of_text") == n_ranks
    assert tokenizer.end_id == n_ranks + 4
    assert tokenizer.semantic_begin_id == n_ranks + n_before
    assert tokenizer.semantic_end_id == tokenizer.semantic_begin_id + codebook_size - 1


def test_lone_equals_sign_line_is_ignored(folder):
    ranks = folder / "tokenizer.tiktoken"
    lines = ranks.read_text().splitlines()
    assert lines[-1].startswith("= ")
    (folder / "special_tokens.json").unlink()
    (folder / "config.json").write_text('{"codebook_size": 1024}')
    with_line = load_tokenizer(folder)
    ranks.write_text("\n".join(lines[:-1]) + "\n")
    assert load_tokenizer(folder).end_id == with_line.end_id


def broken(folder, how):
    ranks, special = folder / "tokenizer.tiktoken", folder / "special_tokens.json"
    lines = ranks.read_text().splitlines()
    if how == "no files":
        ranks.unlink()
    elif how == "lfs pointer":
        ranks.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    elif how == "rank missing":
        ranks.write_text("\n".join([*lines[:300], lines[300].split()[0]]))
    elif how == "byte missing":
        ranks.write_text("\n".join(line for line in lines if line.split()[0] != base64.b64encode(b"z").decode()))
    elif how == "no json":
        special.write_text("{")
    elif how == "no ids":
        special.write_text('{"<|im_end|>": "7"}')
    elif how == "clash":
        special.write_text(json.dumps(json.loads(special.read_text()) | {"<|pad|>": 3}))
    elif how == "no codes":
        special.write_text('{"<|im_end|>": 9999}')
    elif how == "gap":
        ids = json.loads(special.read_text())
        del ids["<|semantic:7|>"]
        special.write_text(json.dumps(ids))
    elif how == "no stop":
        ids = json.loads(special.read_text())
        del ids["<|im_end|>"]
        special.write_text(json.dumps(ids))
    elif how == "no order":
        special.unlink()


@pytest.mark.parametrize(
    ("how", "message"),
    [("no files", "holds none of"), ("lfs pointer", "Line 1 of"), ("rank missing", "Line 301 of"),
     ("byte missing", "lacks 1 of the 256"), ("no json", "cannot be read as JSON"), ("no ids", "not a JSON object"),
     ("clash", "same ids for different tokens"), ("no codes", "no <|semantic:0|>"), ("gap", "not contiguous"),
     ("no stop", "no <|im_end|>"), ("no order", "has no special_tokens.json")],
)  # fmt: skip
def test_broken_files_are_rejected_by_name(folder, how, message):
    broken(folder, how)
    with pytest.raises(BadCheckpoint) as error:
        load_tokenizer(folder)
    assert message in str(error.value)


@pytest.mark.parametrize("content", [b"{}", b"{", b"\xff\xfe", b'{"model": {"type": "no such"}}'])
def test_broken_tokenizer_json_is_rejected(tmp_path, content):
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(BadCheckpoint):
        load_tokenizer(tmp_path)


def test_unknown_control_token_is_rejected():
    with pytest.raises(BadCheckpoint, match="no <.interleave.>"):
        tokenizer_of("phonogram").control_id("interleave")


def test_saved_phonemes_are_matched_longest_first(tmp_path):
    PhonemeTokenizer(["^", "$", "a", "aɪ", "ɪ", " "], 8).save(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.symbols == ("^", "$", "a", "aɪ", "ɪ", " ") and tokenizer.language is None
    assert tokenizer.encode("aɪ a^ɪ") == [3, 5, 2, 4]
    assert tokenizer.decode([3, 5, 6, 7, 14, 15]) == "aɪ <|im_end|><|semantic:0|><|semantic:7|>\ufffd"
    assert tokenizer.unknown_symbols("aɪ ʒxʒ") == ["ʒ", "x"]
    assert tokenizer.n_vocab == tokenizer.semantic_end_id + 1 == 6 + 1 + 8


def test_language_selects_the_phonemizer(tmp_path):
    PhonemeTokenizer(SYMBOLS, 8, language="en-us").save(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.decode(tokenizer.encode("Hello, <|phoneme_start|>wˈɜɹld<|phoneme_end|>!")) == "həlˈO, wˈɜɹld!"
    (tmp_path / "phonemes.json").write_text('{"symbols": ["^", "$", "a"], "n_semantic": 4, "language": "tlh"}')
    with pytest.raises(BadCheckpoint, match="'tlh'"):
        load_tokenizer(tmp_path)


def test_only_words_are_phonemized():
    tokenizer = PhonemeTokenizer(["^", "$", *"abcdefgh "], 4, phonemize=lambda words: words.strip()[::-1])
    assert tokenizer.phonemes("abc<|phoneme_start|>def<|phoneme_end|>") == "cbadef"
    assert tokenizer.phonemes("abc <|phoneme_start|>def") == "cba def"


@pytest.mark.parametrize(
    "content", ['{"symbols": []}', '{"symbols": ["^", "$", "a", "a"], "n_semantic": 4}', "[]",
                '{"symbols": 3, "n_semantic": 4}', '{"symbols": ["^", "$", "a"], "n_semantic": 0}',
                '{"symbols": ["^", "$", 1], "n_semantic": 4}', '{"symbols": ["a", "b"], "n_semantic": 4}',
                '{"symbols": ["^", "$", "a"], "n_semantic": 4, "edges": ["a"]}'],
)  # fmt: skip
def test_broken_phoneme_list_is_rejected(tmp_path, content):
    (tmp_path / "phonemes.json").write_text(content)
    with pytest.raises(BadCheckpoint):
        load_tokenizer(tmp_path)
