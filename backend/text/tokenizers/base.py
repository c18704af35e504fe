"""Tokenizer interface, and loading the tokenizer of a checkpoint folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from backend.errors import BadCheckpoint
from backend.text.tokenizers.huggingface import TOKENIZER_JSON, HFTokenizer
from backend.text.tokenizers.phoneme import PHONEMES_JSON, PhonemeTokenizer
from backend.text.tokenizers.tiktoken import TIKTOKEN_FILE, TiktokenTokenizer


class Tokenizer(Protocol):
    """Tokenizer of a checkpoint.

    Ids `semantic_begin_id`..`semantic_end_id` (inclusive) are first-codebook codes; `end_id` ends a turn and stops
    generation.
    """

    n_vocab: int
    semantic_begin_id: int
    semantic_end_id: int
    end_id: int

    def encode(self, text: str, *, allow_phonemes: bool = True) -> list[int]:
        """Encode untrusted text without producing control tokens.

        The phoneme pair is recognized, unless `allow_phonemes` is False or the vocabulary has none.
        """

    def encode_with_controls(self, text: str) -> list[int]:
        """Encode fixed prompt text with control tokens; never use it for user text."""

    def control_id(self, name: str) -> int:
        """Return the id of `<|name|>`. Raises `BadCheckpoint` if the vocabulary has none."""

    def decode(self, ids: Sequence[int]) -> str:
        """Decode ids to text, control tokens included; invalid UTF-8 becomes U+FFFD."""


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load the tokenizer of a checkpoint folder, in any of the three layouts.

    Raises `BadCheckpoint` if there is none or its files cannot be read.
    """
    # A published checkpoint may contain a converted copy too: the original takes precedence.
    if (folder / PHONEMES_JSON).is_file():
        return PhonemeTokenizer.load(folder)
    if (folder / TIKTOKEN_FILE).is_file():
        return TiktokenTokenizer.load(folder)
    if (folder / TOKENIZER_JSON).is_file():
        return HFTokenizer.load(folder)
    raise BadCheckpoint(
        f"'{folder.name}' holds none of {TIKTOKEN_FILE} (openaudio-s1, fish-speech 1.x), {TOKENIZER_JSON} (s2) and "
        f"{PHONEMES_JSON} (built-in voice). Copy the tokenizer files that came with the weights into it."
    )
