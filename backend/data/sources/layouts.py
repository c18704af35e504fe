"""Reads the unpacked folders of public datasets: one row per recording, with label, license and author."""

from __future__ import annotations

import csv
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backend.data.sources.source import SourceRow
from backend.errors import BadContainer

FREESOUND = "https://freesound.org/s/{id}/"
LICENSE_NAMES = (
    ("publicdomain/zero", "CC0-1.0"),
    ("/by-nc-sa/", "CC-BY-NC-SA"),
    ("/by-nc-nd/", "CC-BY-NC-ND"),
    ("/by-nc/", "CC-BY-NC"),
    ("/by-sa/", "CC-BY-SA"),
    ("/by-nd/", "CC-BY-ND"),
    ("/by/", "CC-BY"),
    ("sampling+", "CC-Sampling+"),
)


def license_name(address: str) -> str:
    """The short name of a Creative Commons license given by its address; other texts stay as they are."""
    for part, name in LICENSE_NAMES:
        if part in address:
            version = address.rstrip("/").rsplit("/", 1)[-1]
            return f"{name}-{version}" if version.replace(".", "").isdigit() and "CC0" not in name else name
    return address


def esc50_rows(folder: Path) -> Iterator[SourceRow]:
    """ESC-50: `meta/esc50.csv` and `audio/`. Fold 5 is held out. Clips are CC-BY-NC, those of ESC-10 CC-BY."""
    root = _only(folder, "meta/esc50.csv").parent.parent
    for row in _csv(root / "meta/esc50.csv", ("filename", "fold", "category", "esc10", "src_file")):
        yield SourceRow(
            file=(root / "audio" / row["filename"]).relative_to(folder).as_posix(),
            label=row["category"].replace("_", " "),
            license="CC-BY-3.0" if row["esc10"] == "True" else "CC-BY-NC-3.0",
            source=FREESOUND.format(id=row["src_file"]),
            split="heldout" if row["fold"] == "5" else "train",
        )


def urbansound8k_rows(folder: Path) -> Iterator[SourceRow]:
    """UrbanSound8K: `metadata/UrbanSound8K.csv` and `audio/foldN/`. Fold 10 is held out."""
    root = _only(folder, "metadata/UrbanSound8K.csv").parent.parent
    for row in _csv(root / "metadata/UrbanSound8K.csv", ("slice_file_name", "fsID", "fold", "class")):
        yield SourceRow(
            file=(root / "audio" / f"fold{row['fold']}" / row["slice_file_name"]).relative_to(folder).as_posix(),
            label=row["class"].replace("_", " "),
            license="CC-BY-NC-3.0",
            source=FREESOUND.format(id=row["fsID"]),
            split="heldout" if row["fold"] == "10" else "train",
        )


def fsd50k_rows(folder: Path) -> Iterator[SourceRow]:
    """FSD50K: `FSD50K.{dev,eval}_audio/` with licenses and authors from `FSD50K.metadata`. Eval is held out."""
    for name, split in (("dev", "train"), ("eval", "heldout")):
        audio = folder / f"FSD50K.{name}_audio"
        if not audio.is_dir():
            continue
        facts: dict[str, Any] = {}
        path = folder / "FSD50K.metadata" / f"{name}_clips_info_FSD50K.json"
        if path.is_file():
            facts = json.loads(path.read_text(encoding="utf-8"))
        labels = {}
        truth = folder / "FSD50K.ground_truth" / f"{name}.csv"
        if truth.is_file():
            labels = {row["fname"]: row["labels"] for row in _csv(truth, ("fname", "labels"))}
        for file in sorted(audio.glob("*.wav")):
            known = facts.get(file.stem, {})
            yield SourceRow(
                file=file.relative_to(folder).as_posix(),
                label=labels.get(file.stem, "").replace("_", " "),
                license=license_name(str(known.get("license", ""))),
                author=str(known.get("uploader", "")),
                source=FREESOUND.format(id=file.stem),
                split=split,
            )


def librispeech_rows(folder: Path) -> Iterator[SourceRow]:
    """LibriSpeech: `LibriSpeech/PART/SPEAKER/CHAPTER/*.flac`. The dev and test parts are held out."""
    for file in sorted(folder.glob("LibriSpeech/*/*/*/*.flac")):
        part, speaker = file.parts[-4], file.parts[-3]
        yield SourceRow(
            file=file.relative_to(folder).as_posix(),
            label="speech",
            license="CC-BY-4.0",
            source="https://www.openslr.org/12/",
            speaker=speaker,
            split="train" if part.startswith("train") else "heldout",
        )


def bird_audio_rows(folder: Path) -> Iterator[SourceRow]:
    """Bird Audio Detection: `SET/labels.csv` beside `SET/wav/`. Items that end in 0 or 5 are held out."""
    for table in sorted(folder.glob("*/labels.csv")):
        for row in _csv(table, ("itemid", "hasbird")):
            file = table.parent / "wav" / f"{row['itemid']}.wav"
            yield SourceRow(
                file=file.relative_to(folder).as_posix(),
                label="bird" if row["hasbird"] == "1" else "no bird",
                license="CC-BY-4.0",
                source=f"Bird Audio Detection, {table.parent.name}",
                split="heldout" if row["itemid"][-1:] in "05" else "train",
            )


def fsc22_rows(folder: Path) -> Iterator[SourceRow]:
    """FSC22: `Metadata-*/Metadata V1.0 FSC22.csv` and `Audio Wise V1.0-*/`. A fifth of the source files is held out."""
    tables = sorted(folder.rglob("Metadata*FSC22.csv"))
    if not tables:
        raise BadContainer("No 'Metadata V1.0 FSC22.csv' was found. Unpack the archive of FSC22 into this folder.")
    files = {path.name: path for path in sorted(folder.rglob("*.wav"))}
    for row in _csv(tables[0], ("Dataset File Name", "Class Name")):
        file = files.get(row["Dataset File Name"])
        if file is not None:
            yield SourceRow(
                file=file.relative_to(folder).as_posix(),
                label=row["Class Name"],
                license="see the page of FSC22",
                source=row.get("Source File Name") or "FSC22",
                split="heldout" if zlib.crc32(row.get("Source File Name", "").encode()) % 5 == 0 else "train",
            )


def xeno_canto_rows(folder: Path) -> Iterator[SourceRow]:
    """Xeno-canto: `recordings.jsonl` as written by the download. Every tenth recordist is held out."""
    table = folder / "recordings.jsonl"
    if not table.is_file():
        raise BadContainer("There is no 'recordings.jsonl' in this folder. Download the recordings first.")
    for line in table.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        yield SourceRow(
            file=row["file"],
            label=row["species"],
            license=license_name(row["license"]),
            author=row["recordist"],
            source=f"https://xeno-canto.org/{row['id']}",
            split="heldout" if sum(row["recordist"].encode()) % 10 == 0 else "train",
        )


def _only(folder: Path, name: str) -> Path:
    found = sorted(folder.glob(name)) + sorted(folder.glob(f"*/{name}"))
    if not found:
        raise BadContainer(f"'{name}' was not found in '{folder.name}'. Unpack the whole dataset there.")
    return found[0]


def _csv(path: Path, columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        if missing:
            raise BadContainer(f"'{path.name}' has no column {', '.join(missing)}; expected {', '.join(columns)}.")
        yield from reader
