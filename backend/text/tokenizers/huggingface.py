"""Tokenizer for the `tokenizer.json` layout of s2-pro, using the `tokenizers` library."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import tokenizers

from backend.errors import BadCheckpoint
from backend.text.tokenizers.control_tokens import PHONEME_PAIR, ControlTokens, without_lone_surrogates

TOKENIZER_JSON = "tokenizer.json"
PHONEME_SPLIT = re.compile("(" + "|".join(re.escape(token) for token in sorted(PHONEME_PAIR)) + ")")


class HFTokenizer:
    """A `tokenizers` pipeline. User text never produces control tokens, except the phoneme pair.

    Added tokens that the file does not mark as special (such as `<think>` in Qwen vocabularies) are ordinary words.
    """

    def __init__(self, definition: str) -> None:
        """`definition`: the JSON text of a tokenizer. Raises `BadCheckpoint` if it is invalid."""
        self._literal = _pipeline(definition)
        # Two pipelines, since the switch is per object and threads may tokenize concurrently.
        self._literal.encode_special_tokens = True
        self._definition = definition
        self._parsing: tokenizers.Tokenizer | None = None
        controls = {
            token.content: token_id
            for token_id, token in self._literal.get_added_tokens_decoder().items()
            if token.special or token.content.startswith("<|")
        }
        self.controls = ControlTokens(controls)
        self.n_vocab = self._literal.get_vocab_size(with_added_tokens=True)
        self.semantic_begin_id = self.controls.semantic_begin_id
        self.semantic_end_id = self.controls.semantic_end_id
        self.end_id = self.controls.end_id
        self._phonemes = {token: controls[token] for token in PHONEME_PAIR & controls.keys()}

    @classmethod
    def load(cls, folder: Path) -> HFTokenizer:
        """Read a checkpoint folder's `tokenizer.json`. Raises `BadCheckpoint`."""
        try:
            return cls((folder / TOKENIZER_JSON).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise BadCheckpoint(
                f"{TOKENIZER_JSON} cannot be read ({type(error).__name__}). Copy it again from the checkpoint."
            ) from error

    def encode(self, text: str, *, allow_phonemes: bool = True) -> list[int]:
        text = without_lone_surrogates(text)
        if not (allow_phonemes and self._phonemes):
            return self._literal.encode(text, add_special_tokens=False).ids
        ids: list[int] = []
        # The pipeline splits at added tokens first, so splitting here changes nothing else.
        for piece in PHONEME_SPLIT.split(text):
            if piece in self._phonemes:
                ids.append(self._phonemes[piece])
            elif piece:
                ids += self._literal.encode(piece, add_special_tokens=False).ids
        return ids

    def encode_with_controls(self, text: str) -> list[int]:
        if self._parsing is None:
            self._parsing = _pipeline(self._definition)
        return self._parsing.encode(without_lone_surrogates(text), add_special_tokens=False).ids

    def control_id(self, name: str) -> int:
        return self.controls.id_of(name)

    def decode(self, ids: Sequence[int]) -> str:
        return self._literal.decode(list(ids), skip_special_tokens=False)


def _pipeline(definition: str) -> tokenizers.Tokenizer:
    try:
        return tokenizers.Tokenizer.from_str(definition)
    except Exception as error:  # the library raises nothing narrower
        raise BadCheckpoint(
            f"{TOKENIZER_JSON} is not a tokenizer this library can build ({str(error)[:120]}). "
            "Copy it again from the checkpoint."
        ) from error
