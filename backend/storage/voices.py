"""Added voices on disk: one folder each, written atomically and named by a random id."""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import shutil
import threading
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from backend.atomic_file import write_atomically
from backend.audio.files import read_audio, write_audio
from backend.audio.resample import resample
from backend.audio.waveform import Waveform
from backend.codes import Codes
from backend.errors import BadVoice, PhonogramError, UnknownVoice, VoiceExists, write_error

log = logging.getLogger(__name__)

FORMAT = 1
RECORD, CODES, SAMPLE, ADAPTATION = "voice.json", "codes.safetensors", "sample.flac", "fitted.safetensors"
ID = re.compile(r"[0-9a-f]{32}")
MAX_NAME_CHARS = 64
MAX_TEXT_CHARS = 5000
MAX_RECORD_BYTES = 1 << 16
MAX_SAMPLE_S = 600.0
MAX_STORED_CHANNELS = 8
# Above 65,535 Hz, FLAC supports round rates only; 48 kHz covers the whole voice range.
MAX_STORED_RATE_HZ = 48_000


@dataclass(frozen=True, slots=True)
class VoiceRecord:
    """Metadata of an added voice. `codes_hash` identifies the codec of its codes."""

    id: str
    name: str
    text: str
    created_at: str
    duration_s: float
    codec: str
    codes_hash: str


class VoiceStore:
    """Voices in one folder. Thread-safe; only one process may write at a time."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._lock = threading.Lock()

    def all(self) -> tuple[VoiceRecord, ...]:
        """Return all readable voices by name. Damaged folders are skipped and logged."""
        records = []
        for folder in sorted(self._folder.glob("*")) if self._folder.is_dir() else []:
            if ID.fullmatch(folder.name):
                try:
                    records.append(_read_record(folder))
                except BadVoice as error:
                    log.warning("Voice %s is skipped: %s", folder.name, error)
        return tuple(sorted(records, key=lambda record: (record.name.casefold(), record.id)))

    def find(self, name_or_id: str) -> VoiceRecord | None:
        """Return the voice with this id or name; names are case-insensitive."""
        plain = normalized_name(name_or_id)
        for record in self.all():
            if name_or_id == record.id or plain == normalized_name(record.name):
                return record
        return None

    def add(self, name: str, text: str, sample: Waveform, codes: Codes, codes_hash: str, consent: bool) -> VoiceRecord:
        """Store a voice: its sample, transcript and codes [1, K, T].

        Raises `BadVoice` for an invalid name or missing consent, `VoiceExists` for a name in use, and `OutputError` if
        it cannot be written.
        """
        check_new_voice(name, text, consent)
        record = VoiceRecord(
            id=secrets.token_hex(16), name=name.strip(), text=text,
            created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            duration_s=round(sample.duration_s, 3), codec=codes.codec, codes_hash=codes_hash,
        )  # fmt: skip
        with self._lock:
            if self.find(record.name) is not None:
                raise VoiceExists(f"There is a voice named '{record.name}' already. Choose another name.")
            partial = self._folder / f".{record.id}.part"
            try:
                partial.mkdir(parents=True)
                write_audio(partial / SAMPLE, _for_flac(sample))
                _write_codes(partial, codes)
                _write_record(partial, record)
                os.rename(partial, self._folder / record.id)
            except OSError as error:
                raise write_error("The voice cannot be written", error, "Check DATA_DIR and free space.") from error
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        return record

    def delete(self, name_or_id: str) -> VoiceRecord:
        """Delete a voice from disk. Raises `UnknownVoice`."""
        with self._lock:
            record = self._require(name_or_id)
            deleted = self._folder / f".{record.id}.gone"
            try:
                # Rename first, so that a partly deleted voice is not listed.
                os.rename(self._folder / record.id, deleted)
                shutil.rmtree(deleted)
            except OSError as error:
                raise write_error("The voice cannot be deleted", error, "Check DATA_DIR and free space.") from error
        return record

    def rename(self, name_or_id: str, name: str) -> VoiceRecord:
        """Rename a voice; its id stays. Raises `UnknownVoice`, `BadVoice`, `VoiceExists`, `OutputError`."""
        check_name(name)
        with self._lock:
            record, existing = self._require(name_or_id), self.find(name.strip())
            if existing is not None and existing.id != record.id:
                raise VoiceExists(f"There is a voice named '{existing.name}' already. Choose another name.")
            renamed = replace(record, name=name.strip())
            try:
                _write_record(self._folder / record.id, renamed)
            except OSError as error:
                raise write_error("The voice cannot be renamed", error, "Check DATA_DIR and free space.") from error
        return renamed

    def codes(self, record: VoiceRecord) -> Codes:
        """Return the voice's codes [1, K, T]. Raises `BadVoice` if they are damaged."""
        path = self._folder / record.id / CODES
        try:
            with safe_open(path, "pt") as file:
                indices = file.get_tensor("indices")
        except (SafetensorError, OSError) as error:
            raise BadVoice(
                f"The codes of voice '{record.name}' are damaged. Delete the voice and add it again."
            ) from error
        return Codes(indices.long(), record.codec)

    def sample(self, record: VoiceRecord) -> Waveform:
        """Return the voice's sample. Raises `BadVoice` if it is damaged."""
        try:
            return read_audio(self._folder / record.id / SAMPLE, max_duration_s=MAX_SAMPLE_S)
        except PhonogramError as error:
            raise BadVoice(
                f"The sample of voice '{record.name}' is damaged. Delete the voice and add it again."
            ) from error

    def replace_codes(self, record: VoiceRecord, codes: Codes, codes_hash: str) -> VoiceRecord:
        """Store new codes of the same sample after a codec change and return the updated record."""
        folder = self._folder / record.id
        with self._lock:
            # Read the record again: the voice may have been renamed meanwhile.
            renewed = replace(self._require(record.id), codec=codes.codec, codes_hash=codes_hash)
            try:
                # Write the record last: after a crash it still names the old codec, and the sample is encoded again.
                _write_codes(folder, codes)
                _write_record(folder, renewed)
            except OSError as error:
                raise write_error(
                    "The voice's codes cannot be written", error, "Check DATA_DIR and free space."
                ) from error
        return renewed

    def adaptation(self, record: VoiceRecord, key: str) -> dict[str, Tensor] | None:
        """Return the adaptation tensors stored under `key`; None if missing or damaged."""
        try:
            with safe_open(self._folder / record.id / ADAPTATION, "pt") as file:
                if (file.metadata() or {}).get("key") != key:
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not iterable
        except (SafetensorError, OSError):
            return None
        return tensors if all(bool(tensor.isfinite().all()) for tensor in tensors.values()) else None

    def keep_adaptation(self, record: VoiceRecord, tensors: Mapping[str, Tensor], key: str) -> None:
        """Store the adaptation tensors of a voice under `key`. Raises `OutputError`."""
        with self._lock:
            folder = self._folder / self._require(record.id).id
            try:
                _write_tensors(folder / ADAPTATION, tensors, {"key": key})
            except OSError as error:
                raise write_error(
                    "The adapted voice cannot be written", error, "Check DATA_DIR and free space."
                ) from error

    def _require(self, name_or_id: str) -> VoiceRecord:
        record = self.find(name_or_id)
        if record is None:
            raise UnknownVoice(
                f"There is no added voice '{printable(name_or_id)}'. List the voices to see what is available."
            )
        return record


def check_new_voice(name: str, text: str, consent: bool) -> None:
    """Raise `BadVoice` for an invalid name or transcript or missing consent; call it before the work."""
    if consent is not True:
        raise BadVoice(
            "The speaker's consent was not confirmed. Add only voices whose speaker agreed, and pass consent=true."
        )
    check_name(name)
    if not isinstance(text, str) or len(text) > MAX_TEXT_CHARS:
        raise BadVoice(f"The transcript must be a string of at most {MAX_TEXT_CHARS} characters. Shorten it.")


def check_name(name: str) -> None:
    """Raise `BadVoice` for an invalid voice name."""
    if not isinstance(name, str) or not 0 < len(name.strip()) <= MAX_NAME_CHARS or not _is_valid_name(name.strip()):
        raise BadVoice(
            f"'{printable(name)}' is not a valid voice name; expected 1 to {MAX_NAME_CHARS} letters, digits, spaces and "
            ". _ - ' characters, starting with a letter or digit. Choose another."
        )


def normalized_name(name: str) -> str:
    """Return the normalized form in which names are compared."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def printable(name: object) -> str:
    """Return untrusted text in a form that is safe to repeat in a message."""
    return "".join(character for character in str(name)[:MAX_NAME_CHARS] if character.isprintable())


def _is_valid_name(name: str) -> bool:
    return name[0].isalnum() and all(character.isalnum() or character in " ._-'" for character in name)


def _for_flac(sample: Waveform) -> Waveform:
    """Reduce channels and sample rate to what FLAC supports."""
    mixed = sample if sample.n_channels <= MAX_STORED_CHANNELS else sample.mono()
    return mixed if mixed.rate_hz <= MAX_STORED_RATE_HZ else resample(mixed, MAX_STORED_RATE_HZ)


def _write_codes(folder: Path, codes: Codes) -> None:
    _write_tensors(folder / CODES, {"indices": codes.indices.to("cpu", torch.int32)})


def _write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    write_atomically(
        path, save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, metadata)
    )


def _write_record(folder: Path, record: VoiceRecord) -> None:
    content = json.dumps({"format": FORMAT, **asdict(record)}, indent=2) + "\n"
    write_atomically(folder / RECORD, content.encode())


def _read_record(folder: Path) -> VoiceRecord:
    try:
        with (folder / RECORD).open("rb") as file:
            content: Any = json.loads(file.read(MAX_RECORD_BYTES))
        if content.pop("format") != FORMAT:
            raise BadVoice(f"Its {RECORD} has another format. Update Phonogram.")
        record = VoiceRecord(**content)
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise BadVoice(f"Its {RECORD} is missing or damaged. Delete the folder, or restore it.") from error
    if record.id != folder.name or not all(
        isinstance(value, str) for value in (record.name, record.text, record.codec)
    ):
        raise BadVoice(f"Its {RECORD} does not match the folder. Delete the folder, or restore it.")
    return record
