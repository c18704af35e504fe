"""Reads the example sentences of WordNet 3.0 from its database files."""

from __future__ import annotations

import re
from pathlib import Path

from backend.data.synthesis.text_filters import clean_sentence
from backend.errors import BadSettings

FILES = ("data.noun", "data.verb", "data.adj", "data.adv")


def wordnet_sentences(folder: Path) -> list[str]:
    """Returns every usable example once, in file order. Raises `BadSettings` if no file exists."""
    paths = [folder / name for name in FILES if (folder / name).is_file()]
    if not paths:
        raise BadSettings(f"'{folder.name}' has none of {', '.join(FILES)}. Pass the folder of WordNet's database.")
    sentences: dict[str, None] = {}
    for path in paths:
        for line in path.read_text(encoding="latin-1").splitlines():
            # A line is numbers, a bar and the gloss; examples are quoted. The license header has no bar.
            gloss = line.partition(" | ")[2]
            for example in re.findall(r'"([^"]+)"', gloss):
                if (sentence := clean_sentence(example)) is not None:
                    sentences[sentence] = None
    return list(sentences)
