"""Prompt columns: text, control tokens and codes as one array of ids.

A column has 1 + n_codebooks rows. Row 0 is a vocabulary token, or for a frame of speech the semantic id of its first
code. The other rows hold the codes of the frame, and 0 for text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.errors import BadCodes
from backend.text.tokenizers.base import Tokenizer


class Columns:
    """Writes columns [1 + n_codebooks, n] (int64) with one tokenizer."""

    def __init__(self, tokenizer: Tokenizer, n_codebooks: int, *, parse_controls: bool = False) -> None:
        """`parse_controls` allows control tokens in user text, as upstream does; for comparison only."""
        self.tokenizer, self.n_codebooks, self.parse_controls = tokenizer, n_codebooks, parse_controls

    def user_text(self, text: str) -> np.ndarray:
        """Encode user text, in which no control token except the phoneme pair is recognized."""
        encode = self.tokenizer.encode_with_controls if self.parse_controls else self.tokenizer.encode
        return self.ids(encode(text))

    def prompt_text(self, text: str) -> np.ndarray:
        """Encode fixed prompt text with control tokens."""
        return self.ids(self.tokenizer.encode_with_controls(text))

    def control(self, name: str) -> np.ndarray:
        return self.ids([self.tokenizer.control_id(name)])

    def ids(self, ids: Sequence[int]) -> np.ndarray:
        columns = np.zeros((1 + self.n_codebooks, len(ids)), np.int64)
        columns[0] = ids
        return columns

    def stop(self, codes: np.ndarray | None) -> np.ndarray:
        """Return the stop column; `codes` [C] if the model generated any for it."""
        columns = self.ids([self.tokenizer.end_id])
        if codes is not None:
            columns[1:, 0] = codes
        return columns

    def frames(self, codes: np.ndarray) -> np.ndarray:
        """Encode codes [C, T] as speech frames. Raises `BadCodes` for too few codebooks or an out-of-range code.

        Codebooks beyond the model's are dropped: they only refine the others.
        """
        codes = np.asarray(codes)
        if codes.ndim != 2 or not np.issubdtype(codes.dtype, np.integer):
            raise BadCodes(
                f"Codes are {codes.dtype}{list(codes.shape)}; a prompt takes integers [codebooks, frames]. "
                "Pass one clip's codes."
            )
        if len(codes) < self.n_codebooks:
            raise BadCodes(
                f"Codes have {len(codes)} codebooks; this model needs {self.n_codebooks}. "
                "Encode the clip with the codec that belongs to the model."
            )
        codes = codes[: self.n_codebooks].astype(np.int64)
        begin, n_semantic = self.tokenizer.semantic_begin_id, self.n_semantic
        if codes.size and (codes.min() < 0 or codes[0].max() >= n_semantic):
            raise BadCodes(
                f"Codes run from {codes.min()} to {codes[0].max()} in the first codebook; expected 0 to "
                f"{n_semantic - 1}. Encode the clip with the codec that belongs to the model."
            )
        return np.concatenate([codes[:1] + begin, codes])

    def join(self, *parts: np.ndarray) -> np.ndarray:
        return np.concatenate([self.ids([]), *parts], axis=1)

    @property
    def n_semantic(self) -> int:
        return self.tokenizer.semantic_end_id - self.tokenizer.semantic_begin_id + 1
