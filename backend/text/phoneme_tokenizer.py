"""The built-in voice's layout: `phonemes.json`, a list of phoneme symbols in place of a vocabulary of words.

Ids: the control tokens first, then the symbols, then the codes of the first codebook.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from backend.errors import BadCheckpoint
from backend.text.control_tokens import PHONEME_END, PHONEME_START, ControlTokens, read_json

PHONEMES_JSON = "phonemes.json"
CONTROLS = ("pad", "im_end", "text", "voice")
VERBATIM = re.compile(f"({re.escape(PHONEME_START)}.*?(?:{re.escape(PHONEME_END)}|$))", re.DOTALL)

# Written words to a string of phoneme symbols.
Phonemizer = Callable[[str], str]


class PhonemeTokenizer:
    """Phoneme symbols as ids. Words pass through `phonemize`; what stands inside the phoneme pair is taken as it is.

    Characters that are no symbol have no id and are left out; `unknown_symbols` names them.
    """

    def __init__(
        self, symbols: Sequence[str], n_semantic: int, language: str = "en-us", phonemize: Phonemizer | None = None
    ) -> None:
        """`symbols`: each distinct and not empty, the longest match wins. `phonemize` None: text is phonemes already.

        Raises `BadCheckpoint` for symbols that repeat.
        """
        if not symbols or "" in symbols or len(set(symbols)) != len(symbols) or n_semantic < 1:
            raise BadCheckpoint(
                f"{PHONEMES_JSON} lists {len(symbols)} symbols, {len(set(symbols))} of them distinct, and {n_semantic} "
                "codes; it needs distinct, non-empty symbols and at least one code. Copy it again."
            )
        self.symbols, self.n_semantic, self.language, self.phonemize = tuple(symbols), n_semantic, language, phonemize
        self._ids = {symbol: len(CONTROLS) + index for index, symbol in enumerate(symbols)}
        self._longest_first = re.compile("|".join(re.escape(s) for s in sorted(symbols, key=len, reverse=True)))
        first_code = len(CONTROLS) + len(symbols)
        names = {f"<|{name}|>": index for index, name in enumerate(CONTROLS)}
        names |= {f"<|semantic:{code}|>": first_code + code for code in range(n_semantic)}
        self.controls = ControlTokens(names)
        self.n_vocab = first_code + n_semantic
        self.semantic_begin_id = self.controls.semantic_begin_id
        self.semantic_end_id = self.controls.semantic_end_id
        self.end_id = self.controls.end_id
        self._words = {token_id: name for name, token_id in (self.controls.ids | self._ids).items()}

    @classmethod
    def load(cls, folder: Path, phonemize: Phonemizer | None = None) -> PhonemeTokenizer:
        """Read a checkpoint folder's `phonemes.json`. Raises `BadCheckpoint`."""
        listed = read_json(folder / PHONEMES_JSON)
        try:
            symbols, n_semantic, language = listed["symbols"], listed["n_semantic"], listed.get("language", "en-us")
            is_known = all(isinstance(symbol, str) for symbol in symbols) and isinstance(n_semantic, int)
        except (KeyError, TypeError, AttributeError):
            is_known = False
        if not is_known:
            raise BadCheckpoint(
                f'{PHONEMES_JSON} needs "symbols" (a list of strings) and "n_semantic" (a number). Copy it again.'
            )
        return cls(symbols, n_semantic, language, phonemize)

    def save(self, folder: Path) -> None:
        """Write `phonemes.json` into an existing folder."""
        content = {"language": self.language, "n_semantic": self.n_semantic, "symbols": list(self.symbols)}
        (folder / PHONEMES_JSON).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    def phonemes(self, text: str, *, allow_phonemes: bool = True) -> str:
        """The phonemes of a text: its words phonemized, what stands inside the phoneme pair as it is."""
        pieces = VERBATIM.split(text) if allow_phonemes else [text]
        return "".join(
            piece.removeprefix(PHONEME_START).removesuffix(PHONEME_END)
            if allow_phonemes and piece.startswith(PHONEME_START)
            else self._phonemize(piece)
            for piece in pieces
        )

    def encode(self, text: str, *, allow_phonemes: bool = True) -> list[int]:
        return self.symbol_ids(self.phonemes(text, allow_phonemes=allow_phonemes))

    def encode_with_controls(self, text: str) -> list[int]:
        # Words have no way to name a control token here; prompts place them by id.
        return self.encode(text)

    def symbol_ids(self, phonemes: str) -> list[int]:
        """The ids of phonemes; characters that are no symbol are left out."""
        return [self._ids[symbol] for symbol in self._longest_first.findall(phonemes)]

    def unknown_symbols(self, phonemes: str) -> list[str]:
        """The distinct characters that have no id, in order."""
        return list(dict.fromkeys(self._longest_first.sub("", phonemes)))

    def control_id(self, name: str) -> int:
        return self.controls.id_of(name)

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self._words.get(token_id, "\N{REPLACEMENT CHARACTER}") for token_id in ids)

    def _phonemize(self, words: str) -> str:
        return self.phonemize(words) if self.phonemize is not None and words.strip() else words
