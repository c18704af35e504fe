"""SoundFont 2 files: reading, cutting to some instruments, and writing, with samples as PCM or as Ogg Vorbis (.sf3).

The layout follows the SoundFont 2.04 specification. A compressed sample (.sf3) is marked in its type; its start and
end count bytes, and its loop counts from its own first sample.
"""

from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from backend.errors import BadCheckpoint, OutputError

NAME = "S20"
RECORDS = {
    "phdr": np.dtype([("name", NAME), ("program", "<u2"), ("bank", "<u2"), ("zone", "<u2"), ("rest", "<u4", 3)]),
    "pbag": np.dtype([("generator", "<u2"), ("modulator", "<u2")]),
    "pmod": np.dtype([("fields", "<u2", 5)]),
    "pgen": np.dtype([("kind", "<u2"), ("amount", "<u2")]),
    "inst": np.dtype([("name", NAME), ("zone", "<u2")]),
    "ibag": np.dtype([("generator", "<u2"), ("modulator", "<u2")]),
    "imod": np.dtype([("fields", "<u2", 5)]),
    "igen": np.dtype([("kind", "<u2"), ("amount", "<u2")]),
    "shdr": np.dtype(
        [("name", NAME), ("start", "<u4"), ("end", "<u4"), ("loop_start", "<u4"), ("loop_end", "<u4"),
         ("rate_hz", "<u4"), ("key", "u1"), ("correction", "i1"), ("link", "<u2"), ("type", "<u2")]
    ),
}  # fmt: skip
KEY_RANGE, INSTRUMENT, SAMPLE = 43, 41, 53
COMPRESSED = 0x10
MONO = 1
# Zero samples the specification asks for after each sample.
GUARD_SAMPLES = 46
DRUM_BANK = 128


@dataclass(frozen=True)
class Zone:
    """One region of a preset or an instrument. `target`: instrument or sample index; none in a global zone."""

    generators: np.ndarray
    modulators: np.ndarray
    target: int | None

    @property
    def keys(self) -> range:
        """MIDI keys the zone answers to."""
        for kind, amount in self.generators:
            if kind == KEY_RANGE:
                return range(int(amount) & 0xFF, (int(amount) >> 8) + 1)
        return range(128)


@dataclass(frozen=True)
class Preset:
    name: str
    bank: int
    program: int
    zones: tuple[Zone, ...]


@dataclass(frozen=True)
class Instrument:
    name: str
    zones: tuple[Zone, ...]


@dataclass(frozen=True)
class Sample:
    """A recorded note. `content` is little-endian int16 PCM, or an Ogg Vorbis file where `is_compressed`.

    The loop counts samples from the first one.
    """

    name: str
    content: bytes
    is_compressed: bool
    rate_hz: int
    loop_start: int
    loop_end: int
    key: int
    correction: int

    def pcm(self) -> np.ndarray:
        """Samples [N], int16."""
        if not self.is_compressed:
            return np.frombuffer(self.content, "<i2")
        samples, _ = soundfile.read(io.BytesIO(self.content), dtype="float32", always_2d=True)
        return (np.clip(samples[:, 0], -1, 1) * 32767).round().astype("<i2")

    def uncompressed(self) -> Sample:
        return replace(self, content=self.pcm().tobytes(), is_compressed=False) if self.is_compressed else self


@dataclass(frozen=True)
class SoundFont:
    presets: tuple[Preset, ...]
    instruments: tuple[Instrument, ...]
    samples: tuple[Sample, ...]

    @classmethod
    def read(cls, source: Path | bytes) -> SoundFont:
        """Raises `BadCheckpoint` for a file that is no SoundFont or was cut off."""
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
        if content[:4] != b"RIFF" or content[8:12] != b"sfbk":
            raise BadCheckpoint("The soundfont does not begin with RIFF and sfbk; expected an .sf2 or .sf3 file.")
        chunks = _chunks(content)
        if missing := [name for name in (*RECORDS, "smpl") if name not in chunks]:
            raise BadCheckpoint(f"The soundfont lacks {', '.join(missing)}: it is damaged or cut off. Fetch it again.")
        # A file cut at a record's border shows here, not as an index error later.
        tables = {name: np.frombuffer(chunks[name], kind) for name, kind in RECORDS.items()}
        headers, presets, instruments = tables["shdr"][:-1], tables["phdr"], tables["inst"]
        return cls(
            tuple(
                Preset(
                    _text(one["name"]), int(one["bank"]), int(one["program"]),
                    _zones(tables, "p", int(one["zone"]), int(after["zone"]), INSTRUMENT),
                )
                for one, after in itertools.pairwise(presets)
            ),
            tuple(
                Instrument(_text(one["name"]), _zones(tables, "i", int(one["zone"]), int(after["zone"]), SAMPLE))
                for one, after in itertools.pairwise(instruments)
            ),
            tuple(_sample(header, chunks["smpl"]) for header in headers),
        )  # fmt: skip

    def cut(self, wanted: Mapping[tuple[int, int], range | frozenset[int]]) -> SoundFont:
        """Only the presets named by (bank, program), and of these only zones that answer to one of the keys.

        Raises `BadCheckpoint` for a preset that is not there.
        """
        by_number = {(preset.bank, preset.program): preset for preset in self.presets}
        if missing := [number for number in wanted if number not in by_number]:
            raise BadCheckpoint(f"The soundfont has no (bank, program) {missing}; use the one this version came with.")
        instrument_ids: dict[tuple[int, frozenset[int]], int] = {}
        sample_ids: dict[int, int] = {}
        instruments: list[Instrument] = []
        presets = []
        for number, keys in wanted.items():
            keyset, zones = frozenset(keys), []
            for zone in by_number[number].zones:
                if zone.target is None:
                    zones.append(zone)
                    continue
                answering = keyset.intersection(zone.keys)
                if not any(
                    inner.target is not None and answering.intersection(inner.keys)
                    for inner in self.instruments[zone.target].zones
                ):
                    continue
                place = (zone.target, keyset)
                if place not in instrument_ids:
                    instrument_ids[place] = len(instruments)
                    instruments.append(_kept(self.instruments[zone.target], keyset, sample_ids))
                zones.append(replace(zone, target=instrument_ids[place]))
            presets.append(replace(by_number[number], zones=tuple(zones)))
        return SoundFont(tuple(presets), tuple(instruments), tuple(self.samples[old] for old in sample_ids))

    def with_samples(self, change: Callable[[Sample], Sample]) -> SoundFont:
        return replace(self, samples=tuple(map(change, self.samples)))

    def to_bytes(self, comment: str = "") -> bytes:
        """A whole file. Raises `OutputError` past the 65,536 zones or generators the format can count."""
        data = b""
        headers = []
        pieces = []
        n_bytes = 0
        for sample in self.samples:
            n = len(sample.content)
            if sample.is_compressed:
                place = (n_bytes, n_bytes + n, sample.loop_start, sample.loop_end)
                pieces.append(sample.content)
                n_bytes += n
            else:
                first = n_bytes // 2
                place = (first, first + n // 2, first + sample.loop_start, first + sample.loop_end)
                pieces.append(sample.content + bytes(2 * GUARD_SAMPLES))
                n_bytes += n + 2 * GUARD_SAMPLES
            kind = MONO | (COMPRESSED if sample.is_compressed else 0)
            headers.append((sample.name.encode(), *place, sample.rate_hz, sample.key, sample.correction, 0, kind))
        headers.append((b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0))
        preset_zones, preset_starts = _tables([preset.zones for preset in self.presets], INSTRUMENT)
        zones, starts = _tables([instrument.zones for instrument in self.instruments], SAMPLE)
        presets = [
            (preset.name.encode(), preset.program, preset.bank, start, (0, 0, 0))
            for preset, start in zip(self.presets, preset_starts, strict=False)
        ]
        instruments = [
            (instrument.name.encode(), start) for instrument, start in zip(self.instruments, starts, strict=False)
        ]
        records = {
            "phdr": np.array([*presets, (b"EOP", 0, 0, preset_starts[-1], (0, 0, 0))], RECORDS["phdr"]),
            **{f"p{name}": table for name, table in preset_zones.items()},
            "inst": np.array([*instruments, (b"EOI", starts[-1])], RECORDS["inst"]),
            **{f"i{name}": table for name, table in zones.items()},
            "shdr": np.array(headers, RECORDS["shdr"]),
        }
        about = _chunk("ifil", struct.pack("<HH", 3 if any(s.is_compressed for s in self.samples) else 2, 1))
        about += _chunk("isng", b"EMU8000\0") + _chunk("INAM", b"Phonogram\0\0\0")
        if comment:
            text = comment.encode("ascii", "replace")
            about += _chunk("ICMT", text + bytes(2 - len(text) % 2))
        data += _list("INFO", about) + _list("sdta", _chunk("smpl", b"".join(pieces)))
        data += _list("pdta", b"".join(_chunk(name, records[name].tobytes()) for name in RECORDS))
        return b"RIFF" + struct.pack("<I", len(data) + 4) + b"sfbk" + data


def _text(name: bytes) -> str:
    return name.split(b"\0")[0].decode("latin-1").strip()


def _chunk(name: str, content: bytes) -> bytes:
    return name.encode() + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def _list(name: str, content: bytes) -> bytes:
    return _chunk("LIST", name.encode() + content)


def _chunks(content: bytes) -> dict[str, memoryview]:
    """The chunks inside all lists, by name."""
    found: dict[str, memoryview] = {}
    view = memoryview(content)

    def walk(place: int, end: int) -> None:
        while place + 8 <= end:
            name, size = content[place : place + 4], struct.unpack_from("<I", content, place + 4)[0]
            if place + 8 + size > len(content):
                raise BadCheckpoint("The soundfont ends inside a chunk: it was cut off. Fetch it again.")
            if name == b"LIST":
                walk(place + 12, place + 8 + size)
            else:
                found[name.decode("latin-1")] = view[place + 8 : place + 8 + size]
            place += 8 + size
            # Some .sf3 writers leave the padding of odd chunks out.
            if size % 2 and content[place : place + 1] == b"\0":
                place += 1

    walk(12, len(content))
    return found


def _zones(tables: dict[str, np.ndarray], level: str, first: int, last: int, target_kind: int) -> tuple[Zone, ...]:
    bags, generators, modulators = (tables[level + name] for name in ("bag", "gen", "mod"))
    zones = []
    for one, after in zip(bags[first:last], bags[first + 1 : last + 1], strict=True):
        own = generators[int(one["generator"]) : int(after["generator"])]
        targets = own["amount"][own["kind"] == target_kind]
        target = int(targets[0]) if len(targets) else None
        zones.append(Zone(own, modulators[int(one["modulator"]) : int(after["modulator"])], target))
    return tuple(zones)


def _sample(header: np.void, data: memoryview) -> Sample:
    start, end = int(header["start"]), int(header["end"])
    is_compressed = bool(int(header["type"]) & COMPRESSED)
    shift = 0 if is_compressed else start
    content = bytes(data[start:end] if is_compressed else data[2 * start : 2 * end])
    return Sample(
        _text(header["name"]), content, is_compressed, int(header["rate_hz"]), int(header["loop_start"]) - shift,
        int(header["loop_end"]) - shift, int(header["key"]), int(header["correction"]),
    )  # fmt: skip


def _kept(instrument: Instrument, keys: frozenset[int], sample_ids: dict[int, int]) -> Instrument:
    """The zones for `keys`; samples they need get the next number in `sample_ids`."""
    zones = []
    for zone in instrument.zones:
        if zone.target is None:
            zones.append(zone)
        elif keys.intersection(zone.keys):
            zones.append(replace(zone, target=sample_ids.setdefault(zone.target, len(sample_ids))))
    return replace(instrument, zones=tuple(zones))


def _tables(groups: list[tuple[Zone, ...]], target_kind: int) -> tuple[dict[str, np.ndarray], list[int]]:
    """Zones as the three tables of a level, and where the zones of each group begin (one more for the end)."""
    bags: list[tuple[int, int]] = []
    starts: list[int] = []
    generators, modulators = [], []
    n_generators = n_modulators = 0
    for zones in groups:
        starts.append(len(bags))
        for zone in zones:
            bags.append((n_generators, n_modulators))
            own = zone.generators.copy()
            if zone.target is not None:
                own["amount"][own["kind"] == target_kind] = zone.target
            generators.append(own)
            modulators.append(zone.modulators)
            n_generators += len(own)
            n_modulators += len(zone.modulators)
    starts.append(len(bags))
    bags.append((n_generators, n_modulators))
    if max(len(bags), n_generators, n_modulators) > 0xFFFF:
        raise OutputError(f"{len(bags)} zones with {n_generators} generators are more than a soundfont can count.")
    return {
        "bag": np.array(bags, RECORDS["pbag"]),
        "mod": np.concatenate([*modulators, np.zeros(1, RECORDS["pmod"])]),
        "gen": np.concatenate([*generators, np.zeros(1, RECORDS["pgen"])]),
    }, starts
