"""Tokenizer for the `phonemes.json` layout of the built-in voice, a list of phoneme symbols.

Ids are the positions in the list, then the end of speech, then the codes of the first codebook.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from backend.errors import BadCheckpoint
from backend.text.phonemes.english import ACCENTS, EnglishPhonemizer
from backend.text.tokenizers.control_tokens import PHONEME_END, PHONEME_START, ControlTokens, read_json

PHONEMES_JSON = "phonemes.json"
VERBATIM = re.compile(f"({re.escape(PHONEME_START)}.*?(?:{re.escape(PHONEME_END)}|$))", re.DOTALL)

# Converts text to a string of phoneme symbols.
Phonemizer = Callable[[str], str]


class PhonemeTokenizer:
    """Encodes phoneme symbols as ids. Text is phonemized first, except inside the phoneme pair.

    Unknown characters are dropped; `unknown_symbols` returns them.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        n_semantic: int,
        *,
        edges: tuple[str, str] = ("^", "$"),
        language: str | None = None,
        phonemize: Phonemizer | None = None,
    ) -> None:
        """`symbols`: all distinct; the longest match wins. `edges`: the symbols of the silence before and after a
        text, which no text maps to. `phonemize`: converts text to symbols; None if text is phonemes already.

        Raises `BadCheckpoint` for repeated symbols or missing edges.
        """
        is_valid = "" not in symbols and len(set(symbols)) == len(symbols) and len(set(edges)) == 2
        if not is_valid or not set(edges) < set(symbols) or n_semantic < 1:
            raise BadCheckpoint(
                f"{PHONEMES_JSON} lists {len(symbols)} symbols, {len(set(symbols))} of them distinct, the edges "
                f"{list(edges)} and {n_semantic} codes; it needs distinct, non-empty symbols, both edges among them, "
                "and at least one code. Copy it again."
            )
        self.symbols, self.n_semantic, self.edges = tuple(symbols), n_semantic, edges
        self.language, self.phonemize = language, phonemize
        ids_of = {symbol: index for index, symbol in enumerate(symbols)}
        self.begin_id, self.finish_id = (ids_of.pop(edge) for edge in edges)
        self._ids_of = ids_of
        self._longest_first = re.compile("|".join(re.escape(s) for s in sorted(ids_of, key=len, reverse=True)))
        names = {"<|im_end|>": len(symbols)}
        names |= {f"<|semantic:{code}|>": len(symbols) + 1 + code for code in range(n_semantic)}
        self.controls = ControlTokens(names)
        self.n_vocab = len(symbols) + 1 + n_semantic
        self.semantic_begin_id = self.controls.semantic_begin_id
        self.semantic_end_id = self.controls.semantic_end_id
        self.end_id = self.controls.end_id
        self._texts = [*symbols, *names]

    @classmethod
    def load(cls, folder: Path) -> PhonemeTokenizer:
        """Read `phonemes.json` of a checkpoint folder; without a language, text is phonemes. Raises `BadCheckpoint`."""
        listed = read_json(folder / PHONEMES_JSON)
        try:
            symbols, n_semantic, language = listed["symbols"], listed["n_semantic"], listed.get("language")
            begin, end = listed.get("edges", ("^", "$"))
            is_known = all(isinstance(s, str) for s in (*symbols, begin, end)) and isinstance(n_semantic, int)
        except (KeyError, TypeError, ValueError, AttributeError):
            is_known = False
        if not is_known:
            raise BadCheckpoint(
                f'{PHONEMES_JSON} needs "symbols" (a list of strings), "edges" (two of them) and "n_semantic" '
                "(a number). Copy it again."
            )
        if language is not None and language not in ACCENTS:
            raise BadCheckpoint(
                f"{PHONEMES_JSON} is for language '{language}'; this version supports {', '.join(ACCENTS)}. Update it."
            )
        phonemize = EnglishPhonemizer(language) if language else None
        return cls(symbols, n_semantic, edges=(begin, end), language=language, phonemize=phonemize)

    def save(self, folder: Path) -> None:
        """Write `phonemes.json` to an existing folder."""
        content = {
            "language": self.language,
            "n_semantic": self.n_semantic,
            "edges": list(self.edges),
            "symbols": list(self.symbols),
        }
        (folder / PHONEMES_JSON).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    def phonemes(self, text: str, *, allow_phonemes: bool = True) -> str:
        """Phonemize a text; text inside the phoneme pair is kept as it is."""
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
        # Text cannot name a control token in this layout; prompts insert them by id.
        return self.encode(text)

    def symbol_ids(self, phonemes: str) -> list[int]:
        """Return the ids of phonemes; unknown characters and the edges are dropped."""
        return [self._ids_of[symbol] for symbol in self._longest_first.findall(phonemes)]

    def unknown_symbols(self, phonemes: str) -> list[str]:
        """Return the distinct characters that have no id, in order."""
        return list(dict.fromkeys(self._longest_first.sub("", phonemes)))

    def control_id(self, name: str) -> int:
        return self.controls.id_of(name)

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(
            self._texts[token_id] if 0 <= token_id < self.n_vocab else "\N{REPLACEMENT CHARACTER}" for token_id in ids
        )

    def _phonemize(self, words: str) -> str:
        if self.phonemize is None or not words.strip():
            return words
        # The phonemizer strips white space; keep it next to explicit phonemes.
        lead = " " if words[0].isspace() else ""
        return lead + self.phonemize(words) + (" " if words[-1].isspace() else "")
