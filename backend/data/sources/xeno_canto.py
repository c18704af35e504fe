"""Recordings of Xeno-canto by species, country and quality, through its API (version 3, which needs a key)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from backend.data.sources.source import RemoteFile
from backend.data.sources.transfer import DownloadSession
from backend.errors import BadSettings, NotAvailable

API = "https://xeno-canto.org/api/3/recordings?query={query}&key={key}&per_page=100&page={page}"
KEY_VARIABLE = "XENO_CANTO_KEY"
REQUEST_INTERVAL_S = 1.0  # the service asks for at most one request a second
TABLE = "recordings.jsonl"


@dataclass(frozen=True, slots=True)
class BirdQuery:
    """Which recordings: `species` is a Latin or English name, `quality` the worst rating, A (best) to E."""

    species: str = ""
    country: str = ""
    quality: str = "C"
    max_recordings: int = 100

    def text(self) -> str:
        """The query in Xeno-canto's language. Raises `BadSettings` for an empty or wrong one."""
        if not self.species and not self.country:
            raise BadSettings("Neither --species nor --country was given; expected at least one of them.")
        if self.quality not in tuple("ABCDE"):
            raise BadSettings(f"--quality is '{self.quality}'; expected a letter from A (best) to E.")
        for name, value in (("--species", self.species), ("--country", self.country)):
            if '"' in value:
                raise BadSettings(f"{name} is '{value}'; expected a name without quotation marks.")
        parts = []
        words = self.species.split()
        if len(words) == 2 and words[1].islower():
            parts += [f'gen:"{words[0]}"', f'sp:"{words[1]}"']
        elif words:
            parts.append(f'en:"{self.species}"')
        if self.country:
            parts.append(f'cnt:"{self.country}"')
        if self.quality != "E":
            parts.append(f'q:">{chr(ord(self.quality) + 1)}"')
        return " ".join(parts)


def download_recordings(
    folder: Path, query: BirdQuery, key: str, session: DownloadSession, progress: Callable[[int, int], None] | None = None,
    interval_s: float = REQUEST_INTERVAL_S,
) -> int:  # fmt: skip
    """Downloads matching recordings into `folder/audio` and lists them in `recordings.jsonl`; returns how many are new.

    Recordings already listed are kept, so a repeated call resumes or adds to them.
    """
    text = query.text()
    if not key:
        raise NotAvailable(
            f"Xeno-canto asks for a key: sign in at https://xeno-canto.org/account, and set it as {KEY_VARIABLE}."
        )
    table = folder / TABLE
    known = set()
    if table.is_file():
        known = {json.loads(line)["id"] for line in table.read_text(encoding="utf-8").splitlines()}
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    n_new = n_seen = 0
    for row, total in _found(text, key, session, interval_s):
        if n_seen >= query.max_recordings:
            break
        n_seen += 1
        if progress is not None:
            progress(n_seen, min(total, query.max_recordings))
        if row["id"] in known or not row["url"]:
            continue
        name = f"XC{row['id']}{Path(row['name']).suffix.lower() or '.mp3'}"
        session.download(RemoteFile(name, row["url"]), folder / "audio")
        facts = {"file": f"audio/{name}", **{k: row[k] for k in ("id", "species", "license", "recordist", "country")}}
        with table.open("a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")
        n_new += 1
        time.sleep(interval_s)
    if not n_seen:
        raise NotAvailable(f"Xeno-canto has no recordings for {text}. Check the names, or allow a lower --quality.")
    return n_new


def _found(text: str, key: str, session: DownloadSession, interval_s: float) -> Iterator[tuple[dict[str, str], int]]:
    page, n_pages = 1, 1
    while page <= n_pages:
        answer: Any = session.json(API.format(query=quote(text), key=quote(key), page=page))
        if not isinstance(answer, dict) or not isinstance(answer.get("recordings"), list):
            raise NotAvailable("Xeno-canto's answer has no recordings. Check the key, or try later.")
        n_pages = int(answer.get("numPages") or 1)
        for row in answer["recordings"]:
            url = str(row.get("file", ""))
            yield (
                {
                    "id": str(row.get("id", "")).strip().replace("/", ""),
                    "species": f"{row.get('gen', '')} {row.get('sp', '')}".strip(),
                    "license": str(row.get("lic", "")),
                    "recordist": str(row.get("rec", "")),
                    "country": str(row.get("cnt", "")),
                    "name": str(row.get("file-name", "")),
                    "url": f"https:{url}" if url.startswith("//") else url,
                },
                int(answer.get("numRecordings") or 0),
            )
        page += 1
        time.sleep(interval_s)
