"""The built-in voice's layout: `phonemes.json`, a list of phoneme symbols in place of a vocabulary of words.

A symbol's id is its place in the list. Then comes the id that ends speech, then the codes of the first codebook.
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

# Written words to a string of phoneme symbols.
Phonemizer = Callable[[str], str]


class PhonemeTokenizer:
    """Phoneme symbols as ids. Words pass through `phonemize`; what stands inside the phoneme pair is taken as it is.

    Characters that are no symbol have no id and are left out; `unknown_symbols` names them.
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
        """`symbols`: all distinct; the longest match wins. `edges`: the two of them that stand for the silence before
        and after a text, which no text turns into. `phonemize`: how words are read; without it text is phonemes.

        Raises `BadCheckpoint` for symbols that repeat or lack the edges.
        """
        is_sound = "" not in symbols and len(set(symbols)) == len(symbols) and len(set(edges)) == 2
        if not is_sound or not set(edges) < set(symbols) or n_semantic < 1:
            raise BadCheckpoint(
                f"{PHONEMES_JSON} lists {len(symbols)} symbols, {len(set(symbols))} of them distinct, the edges "
                f"{list(edges)} and {n_semantic} codes; it needs distinct, non-empty symbols, both edges among them, "
                "and at least one code. Copy it again."
            )
        self.symbols, self.n_semantic, self.edges = tuple(symbols), n_semantic, edges
        self.language, self.phonemize = language, phonemize
        places = {symbol: index for index, symbol in enumerate(symbols)}
        self.begin_id, self.finish_id = (places.pop(edge) for edge in edges)
        self._places = places
        self._longest_first = re.compile("|".join(re.escape(s) for s in sorted(places, key=len, reverse=True)))
        names = {"<|im_end|>": len(symbols)}
        names |= {f"<|semantic:{code}|>": len(symbols) + 1 + code for code in range(n_semantic)}
        self.controls = ControlTokens(names)
        self.n_vocab = len(symbols) + 1 + n_semantic
        self.semantic_begin_id = self.controls.semantic_begin_id
        self.semantic_end_id = self.controls.semantic_end_id
        self.end_id = self.controls.end_id
        self._written = [*symbols, *names]

    @classmethod
    def load(cls, folder: Path) -> PhonemeTokenizer:
        """Read a checkpoint folder's `phonemes.json`, whose language says how words are read; none, that text is
        phonemes. Raises `BadCheckpoint`."""
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
                f"{PHONEMES_JSON} is for the language '{language}'; this version reads {', '.join(ACCENTS)}. Update it."
            )
        phonemize = EnglishPhonemizer(language) if language else None
        return cls(symbols, n_semantic, edges=(begin, end), language=language, phonemize=phonemize)

    def save(self, folder: Path) -> None:
        """Write `phonemes.json` into an existing folder."""
        content = {
            "language": self.language,
            "n_semantic": self.n_semantic,
            "edges": list(self.edges),
            "symbols": list(self.symbols),
        }
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
        """The ids of phonemes; characters that are no symbol are left out, and so are the edges."""
        return [self._places[symbol] for symbol in self._longest_first.findall(phonemes)]

    def unknown_symbols(self, phonemes: str) -> list[str]:
        """The distinct characters that have no id, in order."""
        return list(dict.fromkeys(self._longest_first.sub("", phonemes)))

    def control_id(self, name: str) -> int:
        return self.controls.id_of(name)

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(
            self._written[token_id] if 0 <= token_id < self.n_vocab else "\N{REPLACEMENT CHARACTER}" for token_id in ids
        )

    def _phonemize(self, words: str) -> str:
        if self.phonemize is None or not words.strip():
            return words
        # A phonemizer trims; beside phonemes given verbatim the space between words has to stay.
        lead = " " if words[0].isspace() else ""
        return lead + self.phonemize(words) + (" " if words[-1].isspace() else "")
