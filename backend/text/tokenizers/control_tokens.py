"""Control tokens of a vocabulary."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.errors import BadCheckpoint

PHONEME_START, PHONEME_END = "<|phoneme_start|>", "<|phoneme_end|>"
PHONEME_PAIR = frozenset({PHONEME_START, PHONEME_END})
SEMANTIC = re.compile(r"<\|semantic:(\d+)\|>")


class ControlTokens:
    """Control tokens by name. `semantic_begin_id`..`semantic_end_id` are the code ids, `end_id` ends a turn."""

    def __init__(self, ids: Mapping[str, int]) -> None:
        """`ids`: token text to id. Raises `BadCheckpoint` unless the semantic ids are contiguous."""
        self.ids = dict(ids)
        semantic = {int(match[1]): token_id for name, token_id in ids.items() if (match := SEMANTIC.fullmatch(name))}
        if not semantic:
            raise BadCheckpoint(
                "The tokenizer has no <|semantic:0|>, so codes have no ids. "
                "This is the tokenizer of a text model; copy the one that came with the weights."
            )
        begin, end = min(semantic.values()), max(semantic.values())
        if semantic != {code: begin + code for code in range(end - begin + 1)}:
            raise BadCheckpoint(
                f"The ids of the {len(semantic)} semantic tokens are not contiguous and in order (found {begin} to "
                f"{end}). The tokenizer files are damaged or edited; copy them again."
            )
        self.semantic_begin_id, self.semantic_end_id = begin, end
        self.end_id = self.id_of("im_end")

    def id_of(self, name: str) -> int:
        try:
            return self.ids[f"<|{name}|>"]
        except KeyError:
            raise BadCheckpoint(
                f"The tokenizer has no <|{name}|>, which this model's prompts need. "
                "Copy the tokenizer files that came with the weights."
            ) from None


def read_json(path: Path) -> Any:
    """Read a JSON file of a checkpoint. Raises `BadCheckpoint`."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadCheckpoint(
            f"{path.name} cannot be read as JSON ({type(error).__name__}). Copy it again from the checkpoint."
        ) from error


def without_lone_surrogates(text: str) -> str:
    """Replace lone surrogates, which JSON can contain, with U+FFFD, so that the text can be encoded as UTF-8."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
