"""Prompt columns: text, control tokens and codes as one array of ids.

A column has 1 + n_codebooks rows. Row 0 is the main id: a token of the vocabulary, or for a frame of speech the
semantic id of its first code. The rows below hold the codes of the frame and are 0 at text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.errors import BadCodes
from backend.text.tokenizers.base import Tokenizer


class Columns:
    """Writes columns [1 + n_codebooks, n] (int64) with one tokenizer."""

    def __init__(self, tokenizer: Tokenizer, n_codebooks: int, *, parse_controls: bool = False) -> None:
        """`parse_controls`: let users' text hold control tokens, as upstream does. Only to compare with it."""
        self.tokenizer, self.n_codebooks, self.parse_controls = tokenizer, n_codebooks, parse_controls

    def words(self, text: str) -> np.ndarray:
        """Text that a user wrote; it cannot hold a control token, the phoneme pair aside."""
        encode = self.tokenizer.encode_with_controls if self.parse_controls else self.tokenizer.encode
        return self.ids(encode(text))

    def wording(self, text: str) -> np.ndarray:
        """Text of the prompt's own, in which control tokens are meant."""
        return self.ids(self.tokenizer.encode_with_controls(text))

    def control(self, name: str) -> np.ndarray:
        return self.ids([self.tokenizer.control_id(name)])

    def ids(self, ids: Sequence[int]) -> np.ndarray:
        columns = np.zeros((1 + self.n_codebooks, len(ids)), np.int64)
        columns[0] = ids
        return columns

    def stop(self, codes: np.ndarray | None) -> np.ndarray:
        """The column that ends speech; `codes` [C] if the model gave it any."""
        columns = self.ids([self.tokenizer.end_id])
        if codes is not None:
            columns[1:, 0] = codes
        return columns

    def frames(self, codes: np.ndarray) -> np.ndarray:
        """Codes [C, T] as frames of speech. Raises `BadCodes` if there are too few codebooks or a code is too large.

        Codebooks beyond the model's are left out: each refines those before it.
        """
        codes = np.asarray(codes)
        if codes.ndim != 2 or not np.issubdtype(codes.dtype, np.integer):
            raise BadCodes(
                f"Codes are {codes.dtype}{list(codes.shape)}; a prompt takes integers [codebooks, frames]. "
                "Pass one clip's codes."
            )
        if len(codes) < self.n_codebooks:
            raise BadCodes(
                f"Codes have {len(codes)} codebooks; this model speaks in {self.n_codebooks}. "
                "Encode the clip with the codec that belongs to the model."
            )
        codes = codes[: self.n_codebooks].astype(np.int64)
        begin, n_semantic = self.tokenizer.semantic_begin_id, self.n_semantic
        if codes.size and (codes.min() < 0 or codes[0].max() >= n_semantic):
            raise BadCodes(
                f"Codes run from {codes.min()} to {codes[0].max()} in the first codebook; this model knows 0 to "
                f"{n_semantic - 1}. Encode the clip with the codec that belongs to the model."
            )
        return np.concatenate([codes[:1] + begin, codes])

    def join(self, *parts: np.ndarray) -> np.ndarray:
        return np.concatenate([self.ids([]), *parts], axis=1)

    @property
    def n_semantic(self) -> int:
        return self.tokenizer.semantic_end_id - self.tokenizer.semantic_begin_id + 1


def split_stop(columns: np.ndarray, end_id: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Generated columns [1 + C, n] as the codes to be heard [C, T] and the codes [C] of the stop column.

    Everything from the first stop on is not speech. Without one, every frame is, and the second value is None.
    """
    stops = np.flatnonzero(columns[0] == end_id)
    if not len(stops):
        return columns[1:], None
    return columns[1:, : stops[0]], columns[1:, stops[0]]
