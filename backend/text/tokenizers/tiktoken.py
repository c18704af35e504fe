"""Tokenizer for the tiktoken layout of openaudio-s1 and fish-speech 1.x.

It reads `tokenizer.tiktoken` and `special_tokens.json`, which later upstream code no longer supports.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Sequence
from pathlib import Path

import tiktoken

from backend.errors import BadCheckpoint
from backend.text.tokenizers.control_tokens import PHONEME_PAIR, ControlTokens, read_json, without_lone_surrogates

TIKTOKEN_FILE = "tokenizer.tiktoken"
SPECIAL_TOKENS_FILE = "special_tokens.json"

# Differs from the usual tiktoken pattern: punctuation and digits are single tokens, and `\?` in the last but one choice
# is a literal question mark where a lookahead was intended. The models were trained with it, so it is kept.
SPLIT_PATTERN = "|".join(
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
        r"\p{P}",
        r"[^\r\n\p{L}\p{N}]?\p{L}+",
        r"\p{N}",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(\?!\S)",
        r"\s+",
    )
)
MAX_PIECE_CHARS = 400_000

# Without special_tokens.json the ids follow the ranks in this order, the semantic tokens last.
ORDER_S1 = (
    "begin_of_text", "end_of_text", "pad", "im_start", "im_end", "phoneme_start", "phoneme_end", "tool_call_start",
    "tool_call_end", "text", "voice", "interleave", "audio_start", "audio_end", "audio",
)  # fmt: skip
ORDER_V15 = (
    "begin_of_text", "end_of_text", "pad", "im_start", "im_end", "placeholder:0", "placeholder:1", "placeholder:2",
    "placeholder:3", "text", "voice", "interleave",
)  # fmt: skip
ORDERS = {4096: ORDER_S1, 1024: ORDER_V15}


class TiktokenTokenizer:
    """Byte pair encoding by rank. User text never produces control tokens, except the phoneme pair."""

    def __init__(self, ranks: dict[bytes, int], controls: dict[str, int]) -> None:
        """`ranks`: token to id. Raises `BadCheckpoint` for duplicate ids or missing single bytes."""
        missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
        if missing:
            raise BadCheckpoint(
                f"{TIKTOKEN_FILE} lacks {len(missing)} of the 256 single bytes, so some text has no tokens. "
                "Copy it again from the checkpoint."
            )
        ids = [*ranks.values(), *controls.values()]
        if len(set(ids)) != len(ids):
            raise BadCheckpoint(
                f"{SPECIAL_TOKENS_FILE} and {TIKTOKEN_FILE} use the same ids for different tokens. "
                "They belong to different checkpoints; copy both from one."
            )
        self.controls = ControlTokens(controls)
        self.n_vocab = max(ids) + 1
        self.semantic_begin_id = self.controls.semantic_begin_id
        self.semantic_end_id = self.controls.semantic_end_id
        self.end_id = self.controls.end_id
        self._phonemes = PHONEME_PAIR & controls.keys()
        self._encoding = tiktoken.Encoding(
            "fish", pat_str=SPLIT_PATTERN, mergeable_ranks=ranks, special_tokens=controls
        )

    @classmethod
    def load(cls, folder: Path) -> TiktokenTokenizer:
        """Read both files of a checkpoint folder. Raises `BadCheckpoint`."""
        ranks = read_ranks(folder / TIKTOKEN_FILE)
        return cls(ranks, read_controls(folder, first_id=max(ranks.values(), default=-1) + 1))

    def encode(self, text: str, *, allow_phonemes: bool = True) -> list[int]:
        return self._encode(text, self._phonemes if allow_phonemes else frozenset())

    def encode_with_controls(self, text: str) -> list[int]:
        return self._encode(text, self.controls.ids.keys())

    def control_id(self, name: str) -> int:
        return self.controls.id_of(name)

    def decode(self, ids: Sequence[int]) -> str:
        return self._encoding.decode(list(ids), errors="replace")

    def _encode(self, text: str, allowed: Collection[str]) -> list[int]:
        text = without_lone_surrogates(text)
        ids: list[int] = []
        # Split as upstream does: beyond this length the pattern's backtracking exceeds its stack.
        for start in range(0, len(text), MAX_PIECE_CHARS):
            piece = text[start : start + MAX_PIECE_CHARS]
            ids += self._encoding.encode(piece, allowed_special=set(allowed), disallowed_special=())
        return ids


def read_ranks(path: Path) -> dict[bytes, int]:
    """Read the mergeable tokens of a tiktoken file, one base64 token and rank per line. Raises `BadCheckpoint`."""
    ranks: dict[bytes, int] = {}
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise BadCheckpoint(f"{path.name} cannot be read ({type(error).__name__}). Check the folder.") from error
    for number, line in enumerate(lines, 1):
        fields = line.split()
        # A lone `=` is empty base64: one published file ends with such a line, which is not a token.
        if not fields or fields[0] == b"=":
            continue
        try:
            token, rank = fields
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error) as error:
            raise BadCheckpoint(
                f"Line {number} of {path.name} is not a base64 token, a space and a number. "
                "The file is truncated or of another kind (a Git LFS pointer?); download it again."
            ) from error
    return ranks


def read_controls(folder: Path, first_id: int) -> dict[str, int]:
    """Read control token ids from `special_tokens.json`, else use the family's order. Raises `BadCheckpoint`."""
    path = folder / SPECIAL_TOKENS_FILE
    if path.is_file():
        listed = read_json(path)
        if isinstance(listed, list):
            listed = {token: first_id + index for index, token in enumerate(listed)}
        if isinstance(listed, dict) and all(
            isinstance(token, str) and isinstance(id_, int) for token, id_ in listed.items()
        ):
            return listed
        raise BadCheckpoint(f"{path.name} is not a JSON object of tokens and their ids. Copy it again.")
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    n_semantic = config.get("codebook_size") if isinstance(config, dict) else None
    if n_semantic not in ORDERS:
        raise BadCheckpoint(
            f"'{folder.name}' has no {SPECIAL_TOKENS_FILE}, and its config.json does not say a codebook_size of "
            f"{' or '.join(map(str, ORDERS))} from which the control tokens follow. Copy the missing file into it."
        )
    names = [*ORDERS[n_semantic], *(f"semantic:{code}" for code in range(n_semantic))]
    return {f"<|{name}|>": first_id + index for index, name in enumerate(names)}
