"""Text to token ids and back: the contract, and finding out which layout a checkpoint folder has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from backend.errors import BadCheckpoint
from backend.text.tokenizers.huggingface import TOKENIZER_JSON, HFTokenizer
from backend.text.tokenizers.phoneme import PHONEMES_JSON, PhonemeTokenizer
from backend.text.tokenizers.tiktoken import TIKTOKEN_FILE, TiktokenTokenizer


class Tokenizer(Protocol):
    """What prompts need. Ids `semantic_begin_id`..`semantic_end_id` (both included) stand for first-codebook codes;
    `end_id` ends a turn and is what stops a generation."""

    n_vocab: int
    semantic_begin_id: int
    semantic_end_id: int
    end_id: int

    def encode(self, text: str, *, allow_phonemes: bool = True) -> list[int]:
        """Ids of text somebody else wrote: whatever it says, no control token comes out. Only the phoneme pair
        keeps its meaning, unless `allow_phonemes` is off or the vocabulary has none."""

    def encode_with_controls(self, text: str) -> list[int]:
        """Ids of text in which control tokens are meant: the wording of prompts, never what a user wrote."""

    def control_id(self, name: str) -> int:
        """The id of `<|name|>`. Raises `BadCheckpoint` if the vocabulary has none."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, control tokens written out; bytes that are no UTF-8 become U+FFFD."""


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a checkpoint folder, whichever of the three layouts it has.

    Raises `BadCheckpoint` if there is none, or if its files cannot be read.
    """
    # The folder of a published checkpoint may hold a converted copy beside the original: the original wins.
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
