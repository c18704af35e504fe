"""Training batches of a voice: prompts, frames, side ids and labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from backend.data.token_shards import CodedUtterance
from backend.lm.text_pointer import pointer_path, whole_utterance
from backend.text.tokenizers.phoneme import PhonemeTokenizer


class VoiceBatch(NamedTuple):
    """B utterances padded to S positions, with M frames to predict. Only those M positions have labels, so text and
    padding do not contribute to a loss.
    """

    tokens: Tensor  # [B, R, S]
    side: Tensor  # [B, S, n_side]
    at: Tensor  # [M], positions in the flat [B * S] that predict a frame
    codes: Tensor  # [M, K], the predicted frames
    advance: Tensor  # [M], pointer moves after them
    reference: Tensor  # [B, K, T_ref]
    n_reference: Tensor  # [B]


class TrainingSequence(NamedTuple):
    """One or more utterances in sequence."""

    symbols: np.ndarray  # [P] ids including leading and trailing silence: the prompt, and the pointer's symbols
    codes: np.ndarray  # [K, T]
    alignment: np.ndarray  # [T], indices into `symbols`


class SequenceBuilder:
    """Builds training sequences and batches with a tokenizer's ids."""

    def __init__(self, tokenizer: PhonemeTokenizer, n_ahead: int, max_spent: int, max_advance: int):
        self.tokenizer = tokenizer
        self.n_ahead, self.max_spent, self.max_advance = n_ahead, max_spent, max_advance
        self._ids: dict[str, int] = {}

    @property
    def n_side(self) -> int:
        return self.n_ahead + 2

    def passage(self, items: Sequence[CodedUtterance]) -> TrainingSequence:
        """Concatenates utterances; the silence between them ends one and starts the next."""
        symbols, alignments, n_before = [], [], 0
        for item in items:
            ids = [self._id(symbol) for symbol in item.symbols]
            symbols += [self.tokenizer.begin_id, *ids, self.tokenizer.finish_id]
            alignments.append(item.alignment.astype(np.int64) + n_before)
            n_before += len(ids) + 2
        codes = np.concatenate([item.codes for item in items], axis=1).astype(np.int64)
        return TrainingSequence(np.array(symbols, np.int64), codes, np.concatenate(alignments))

    def batch(self, passages: Sequence[TrainingSequence], references: Sequence[np.ndarray]) -> VoiceBatch:
        """Batches sequences with references (codes [K, T_ref]) of their speakers, padded on the right."""
        K = passages[0].codes.shape[0]
        S = max(len(p.symbols) + p.codes.shape[1] - 1 for p in passages)
        tokens = np.zeros((len(passages), 1 + K, S), np.int64)
        side = np.zeros((len(passages), S, self.n_side), np.int64)
        at, codes, advances = [], [], []
        for row, p in enumerate(passages):
            path = pointer_path(p.alignment, len(p.symbols), self.max_advance)
            read, told = whole_utterance(
                p.symbols, p.codes, path.place, semantic_begin_id=self.tokenizer.semantic_begin_id,
                n_ahead=self.n_ahead, max_spent=self.max_spent,
            )  # fmt: skip
            tokens[row, :, : len(told)], side[row, : len(told)] = read, told
            at.append(row * S + np.arange(len(p.symbols) - 1, len(told)))
            codes.append(p.codes.T)
            advances.append(path.advance)
        T_ref = max(codes.shape[1] for codes in references)
        reference = np.zeros((len(references), K, T_ref), np.int64)
        for row, piece in enumerate(references):
            reference[row, :, : piece.shape[1]] = piece
        arrays = (tokens, side, np.concatenate(at), np.concatenate(codes), np.concatenate(advances), reference,
                  np.array([piece.shape[1] for piece in references], np.int64))  # fmt: skip
        return VoiceBatch(*(torch.from_numpy(array) for array in arrays))

    def _id(self, symbol: str) -> int:
        if symbol not in self._ids:
            found = self.tokenizer.symbol_ids(symbol)
            # An unknown symbol becomes a silence of its length, which keeps the alignment correct.
            self._ids[symbol] = found[0] if found else self.tokenizer.symbol_ids(" ")[0]
        return self._ids[symbol]
