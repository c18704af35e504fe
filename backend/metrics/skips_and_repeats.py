"""Skips and loops of a synthesizer: runs of omitted or inserted words in a transcript."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from backend.metrics.wer import normalize

# One or two words may be a slip or a recognition error; three in a row were not spoken, or spoken twice.
RUN_WORDS = 3


class WordRuns(NamedTuple):
    """The number of runs of at least `RUN_WORDS` omitted and inserted words."""

    n_skips: int
    n_loops: int


def word_runs(reference: str, transcript: str) -> WordRuns:
    """Counts skips and loops of a transcript, with the text normalization of the error rates."""
    edits = alignment(normalize(reference).split(), normalize(transcript).split())
    runs = [(kind, len(list(group))) for kind, group in groupby(edits)]
    return WordRuns(
        sum(kind == "D" and length >= RUN_WORDS for kind, length in runs),
        sum(kind == "I" and length >= RUN_WORDS for kind, length in runs),
    )


def alignment(reference: Sequence[str], other: Sequence[str]) -> str:
    """Returns a minimal edit sequence as letters: = equal, S substituted, D deleted, I inserted.

    Among minimal ones, those with contiguous deletions and insertions are preferred.
    """
    # Cost (edits, changes of kind) for each cell and kind of the last edit.
    kinds = "=SDI"
    infinite = (len(reference) + len(other) + 1, 0)
    rows: list[list[dict[str, tuple[tuple[int, int], str]]]] = []
    for i in range(len(reference) + 1):
        rows.append([])
        for j in range(len(other) + 1):
            cell: dict[str, tuple[tuple[int, int], str]] = {}
            if i == j == 0:
                cell["="] = ((0, 0), "")
            same = i > 0 and j > 0 and reference[i - 1] == other[j - 1]
            for kind in kinds:
                if kind in "=S" and (not i or not j or same != (kind == "=")):
                    continue
                if (kind == "D" and not i) or (kind == "I" and not j):
                    continue
                previous = rows[i - (kind != "I")][j - (kind != "D")]
                best = min(
                    (
                        ((cost[0] + (kind != "="), cost[1] + (last != kind)), last)
                        for last, (cost, _) in previous.items()
                    ),
                    default=(infinite, ""),
                )
                if kind not in cell or best[0] < cell[kind][0]:
                    cell[kind] = best
            rows[i].append(cell)
    i, j, edits = len(reference), len(other), ""
    kind = min(rows[i][j], key=lambda kind: rows[i][j][kind][0])
    while i or j:
        edits += kind
        last = rows[i][j][kind][1]
        i, j, kind = i - (kind != "I"), j - (kind != "D"), last
    return edits[::-1]
