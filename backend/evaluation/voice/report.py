"""The report of a voice evaluation: one HTML page with the table and audio examples, including the worst ones."""

from __future__ import annotations

import base64
from html import escape
from typing import Any

from backend.evaluation.codec.report import STYLE
from backend.evaluation.voice.runner import SentenceResult, VoiceEvaluation

N_FIRST, N_WORST = 6, 10


def render_voice_page(document: dict[str, Any], table: str, outcome: VoiceEvaluation) -> str:
    """Renders the HTML page of an `evaluate voice` document. `table` is the Markdown table of its summary."""
    title = "Evaluation of voices"
    parts = [
        f"<h1>{title}</h1>",
        f"<p>{escape(document['created_utc'])} · {escape(document['machine']['cpu'])} · "
        f"{document['n_sentences']} sentences · seed {document['seed']}</p>",
        "<p>In brackets: 95 % bootstrap intervals over takes. <i>skips</i> and <i>loops</i> count takes whose transcript "
        "omits or inserts three or more words in a row. DNSMOS detects broken audio only: it rates synthesizers above real "
        "voices. Times exclude loading and the first request.</p>",
        f'<div class="wide">{_html_table(table)}</div>',
    ]  # fmt: skip
    absent = [f"<li>{escape(name)}: {escape(reason)}</li>" for name, reason in document["absent"].items()]
    failed = [f"<li>{escape(s)}, “{escape(text)}”: {escape(why)}</li>" for s, text, why in outcome.failures]
    if absent or failed:
        parts += ["<h2>Not measured</h2>", f"<ul>{''.join(absent + failed)}</ul>"]
    for system in [row["system"] for row in document["summary"]]:
        takes = [take for take in outcome.takes if take.system == system]
        worst = sorted((take for take in takes if _errors(take)), key=_errors, reverse=True)[:N_WORST]
        parts.append(f"<h2>{escape(system)}</h2>")
        parts += ["<h3>First takes</h3>", *map(_player, takes[:N_FIRST])]
        parts += ["<h3>Most word errors</h3>", *map(_player, worst)] if worst else []
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n<body>{body}</body></html>\n'
    )


def _errors(take: SentenceResult) -> int:
    return sum(facts.get("word_edits", 0) for facts in take.facts.values())


def _player(take: SentenceResult) -> str:
    sound = base64.b64encode(take.file.read_bytes()).decode()
    heard = [
        f"<br>{escape(name.removeprefix('asr:'))}: {escape(facts['heard'])}"
        for name, facts in take.facts.items() if "heard" in facts and facts["word_edits"]
    ]  # fmt: skip
    return (
        f'<figure><audio controls preload="none" src="data:audio/flac;base64,{sound}"></audio>'
        f"<figcaption><b>{escape(take.voice or 'own voice')}</b>: {escape(take.text)}<small>{''.join(heard)}</small>"
        "</figcaption></figure>"
    )


def _html_table(markdown: str) -> str:
    head, _, *rows = [[escape(cell) for cell in line.strip("| ").split(" | ")] for line in markdown.splitlines()]
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in rows)
    return f"<table><thead><tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr></thead><tbody>{body}</tbody></table>"
