"""A complete small random checkpoint in memory: language model, codec and tokenizer."""

from __future__ import annotations

import torch

from backend.lm.speaker_encoder import SpeakerConfig, SpeakerEncoder
from backend.text.tokenizers.control_tokens import ControlTokens
from backend.text.tokenizers.phoneme import PhonemeTokenizer
from tests.support.tiny_codecs import TinyCodec
from tests.support.tiny_lm import tiny_lm

N_CODES = 24
CONTROLS = ("im_end", "im_start", "begin_of_text", "end_of_text", "pad", "interleave", "voice", "text")


class ByteTokenizer:
    """One id per byte, then the control tokens, then the codes."""

    def __init__(self) -> None:
        names = [f"<|{name}|>" for name in CONTROLS] + [f"<|semantic:{code}|>" for code in range(N_CODES)]
        self.controls = ControlTokens({name: 256 + index for index, name in enumerate(names)})
        self.n_vocab = 256 + len(names)
        self.semantic_begin_id, self.semantic_end_id = self.controls.semantic_begin_id, self.controls.semantic_end_id
        self.end_id = self.controls.end_id

    def encode(self, text, *, allow_phonemes=True):
        return list(text.encode())

    def encode_with_controls(self, text):
        ids = []
        while text:
            for name, token_id in self.controls.ids.items():
                if text.startswith(name):
                    ids.append(token_id)
                    text = text.removeprefix(name)
                    break
            else:
                ids += text[0].encode()
                text = text[1:]
        return ids

    def control_id(self, name):
        return self.controls.id_of(name)

    def decode(self, ids):
        raise NotImplementedError


def small_model(kind: str = "s1", max_seq_len: int = 1000, seed: int = 0):
    """Language model, codec and tokenizer."""
    tokenizer = ByteTokenizer()
    lm = tiny_lm(
        kind, seed, vocab_size=tokenizer.n_vocab, semantic_begin_id=tokenizer.semantic_begin_id,
        semantic_end_id=tokenizer.semantic_end_id, end_id=tokenizer.end_id, max_seq_len=max_seq_len,
    )  # fmt: skip
    # Random weights end after a few frames, which leaves no batched steps to test.
    sample, is_end = lm.sample, torch.arange(lm.spec.n_legal) == lm.spec.n_semantic
    lm.sample = lambda out, *rest: sample(out._replace(logits=out.logits.masked_fill(is_end, -20.0)), *rest)
    torch.manual_seed(seed)
    codec = TinyCodec(hop=160, n_codebooks=4, codebook_size=N_CODES, lag=20).eval().requires_grad_(False)
    return lm, codec, tokenizer


def small_voice_model():
    """The same in the built-in voice's family, with a pointer and speaker embeddings, and the speaker encoder."""
    tokenizer = PhonemeTokenizer(["^", "$", *"abcdefghijklmnopqrstuvwxyz .,!?'"], N_CODES, phonemize=str.lower)
    n_symbols = len(tokenizer.symbols)
    lm = tiny_lm(
        "phonogram", vocab_size=tokenizer.n_vocab, semantic_begin_id=tokenizer.semantic_begin_id,
        semantic_end_id=tokenizer.semantic_end_id, end_id=tokenizer.end_id, max_seq_len=1000,
        side_sizes=[n_symbols, n_symbols, 6],
    )  # fmt: skip
    torch.manual_seed(0)
    codec = TinyCodec(hop=160, n_codebooks=4, codebook_size=N_CODES, lag=20).eval().requires_grad_(False)
    return lm, codec, tokenizer, SpeakerEncoder(SpeakerConfig(4, N_CODES, 5, dim=8)).eval().requires_grad_(False)
