"""The small tokenizers of the golden cases, loaded once."""

from functools import cache
from pathlib import Path

from backend.text.tokenizers.base import Tokenizer, load_tokenizer
from backend.text.tokenizers.phoneme import PhonemeTokenizer

FOLDER = Path(__file__).parents[1] / "golden" / "prompts"
FAMILIES = ("s1", "s2", "v15", "phonogram")


@cache
def tokenizer_of(family: str) -> Tokenizer:
    if family == "phonogram":
        return PhonemeTokenizer([*"^$ .,?!'abcdefghijklmnopqrstuvwxyz", "aɪ", "ə"], 64)
    return load_tokenizer(FOLDER / f"tok_{family}")


def control_ids(tokenizer: Tokenizer) -> set[int]:
    """Every id that means something to the model, the phoneme pair aside."""
    controls = tokenizer.controls.ids.items()  # type: ignore[attr-defined]
    edges = {tokenizer.begin_id, tokenizer.finish_id} if isinstance(tokenizer, PhonemeTokenizer) else set()
    return edges | {token_id for name, token_id in controls if not name.startswith("<|phoneme_")}
