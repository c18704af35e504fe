"""The example sentences of WordNet 3.0, from the database files of an installed or unpacked package."""

from __future__ import annotations

import re
from pathlib import Path

from backend.data.synthesis.text_filters import clean_sentence
from backend.errors import BadSettings

FILES = ("data.noun", "data.verb", "data.adj", "data.adv")


def wordnet_sentences(folder: Path) -> list[str]:
    """Every usable example, once, in the order of the files. Raises `BadSettings` if none of the files is there."""
    paths = [folder / name for name in FILES if (folder / name).is_file()]
    if not paths:
        raise BadSettings(f"'{folder.name}' holds none of {', '.join(FILES)}. Give the folder of WordNet's database.")
    found: dict[str, None] = {}
    for path in paths:
        for line in path.read_text(encoding="latin-1").splitlines():
            # A line is numbers, a bar, the gloss; examples are the quoted parts. The notice on top has no bar.
            gloss = line.partition(" | ")[2]
            for example in re.findall(r'"([^"]+)"', gloss):
                if (sentence := clean_sentence(example)) is not None:
                    found[sentence] = None
    return list(found)
