"""Voices people added: one folder each, written whole or not at all, named by ids that say nothing."""

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

from backend.audio.files import read_audio, write_audio
from backend.audio.resample import resample
from backend.audio.waveform import Waveform
from backend.codes import Codes
from backend.errors import BadVoice, PhonogramError, UnknownVoice, VoiceExists, not_written

log = logging.getLogger(__name__)

FORMAT = 1
RECORD, CODES, SAMPLE, FITTED = "voice.json", "codes.safetensors", "sample.flac", "fitted.safetensors"
ID = re.compile(r"[0-9a-f]{32}")
MAX_NAME_CHARS = 64
MAX_TEXT_CHARS = 5000
MAX_RECORD_BYTES = 1 << 16
MAX_SAMPLE_S = 600.0
MAX_KEPT_CHANNELS = 8
# Above 65,535 Hz FLAC holds round rates only; a voice is all there at this one.
MAX_KEPT_RATE_HZ = 48_000


@dataclass(frozen=True, slots=True)
class VoiceRecord:
    """What is known of an added voice. `codes_hash` is that of the codec its codes were made with."""

    id: str
    name: str
    text: str
    created_at: str
    duration_s: float
    codec: str
    codes_hash: str


class VoiceStore:
    """The voices below one folder. Any number of threads; one process writes at a time."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._lock = threading.Lock()

    def all(self) -> tuple[VoiceRecord, ...]:
        """Every readable voice by name. A damaged folder is left out and logged, so that one cannot hide the rest."""
        records = []
        for folder in sorted(self._folder.glob("*")) if self._folder.is_dir() else []:
            if ID.fullmatch(folder.name):
                try:
                    records.append(_read_record(folder))
                except BadVoice as error:
                    log.warning("Voice %s is left out: %s", folder.name, error)
        return tuple(sorted(records, key=lambda record: (record.name.casefold(), record.id)))

    def find(self, name_or_id: str) -> VoiceRecord | None:
        """The voice of that id or, letters' case aside, of that name."""
        wanted = plain_name(name_or_id)
        for record in self.all():
            if name_or_id == record.id or wanted == plain_name(record.name):
                return record
        return None

    def add(self, name: str, text: str, sample: Waveform, codes: Codes, codes_hash: str, consent: bool) -> VoiceRecord:
        """Keep a voice: its sample, the words in it and its codes [1, K, T].

        Raises `BadVoice` for a bad name or without consent, `VoiceExists` for a name that is taken, `OutputError`
        if it cannot be written.
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
                write_audio(partial / SAMPLE, _as_kept(sample))
                _write_codes(partial, codes)
                _write_record(partial, record)
                os.rename(partial, self._folder / record.id)
            except OSError as error:
                raise not_written("The voice cannot be kept", error, "Check DATA_DIR and free space.") from error
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        return record

    def delete(self, name_or_id: str) -> VoiceRecord:
        """Remove a voice from disk. Raises `UnknownVoice`."""
        with self._lock:
            record = self._known(name_or_id)
            doomed = self._folder / f".{record.id}.gone"
            try:
                # First the name: a voice half removed must not be listed.
                os.rename(self._folder / record.id, doomed)
                shutil.rmtree(doomed)
            except OSError as error:
                raise not_written("The voice cannot be removed", error, "Check DATA_DIR and free space.") from error
        return record

    def rename(self, name_or_id: str, name: str) -> VoiceRecord:
        """Call a voice something else; its id stays. Raises `UnknownVoice`, `BadVoice`, `VoiceExists`, `OutputError`."""
        check_name(name)
        with self._lock:
            record, taken = self._known(name_or_id), self.find(name.strip())
            if taken is not None and taken.id != record.id:
                raise VoiceExists(f"There is a voice named '{taken.name}' already. Choose another name.")
            renamed = replace(record, name=name.strip())
            try:
                _write_record(self._folder / record.id, renamed)
            except OSError as error:
                raise not_written("The voice cannot be renamed", error, "Check DATA_DIR and free space.") from error
        return renamed

    def codes(self, record: VoiceRecord) -> Codes:
        """The voice's codes [1, K, T]. Raises `BadVoice` if they are damaged."""
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
        """The sound the voice was made from."""
        try:
            return read_audio(self._folder / record.id / SAMPLE, max_duration_s=MAX_SAMPLE_S)
        except PhonogramError as error:
            raise BadVoice(
                f"The sample of voice '{record.name}' is damaged. Delete the voice and add it again."
            ) from error

    def replace_codes(self, record: VoiceRecord, codes: Codes, codes_hash: str) -> VoiceRecord:
        """Keep new codes of the same sample: the codec has changed. Returns the record as it is now."""
        folder = self._folder / record.id
        with self._lock:
            # As it is now: it may have got another name since it was read.
            renewed = replace(self._known(record.id), codec=codes.codec, codes_hash=codes_hash)
            try:
                # The record last: until then it names the old codec, and the codes are made once more.
                _write_codes(folder, codes)
                _write_record(folder, renewed)
            except OSError as error:
                raise not_written(
                    "The voice's codes cannot be kept", error, "Check DATA_DIR and free space."
                ) from error
        return renewed

    def fitted(self, record: VoiceRecord, key: str) -> dict[str, Tensor] | None:
        """The tensors kept for `key`; None if there are none, or damaged ones: they can be made again."""
        try:
            with safe_open(self._folder / record.id / FITTED, "pt") as file:
                if (file.metadata() or {}).get("key") != key:
                    return None
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it cannot be iterated
        except (SafetensorError, OSError):
            return None
        return found if all(bool(tensor.isfinite().all()) for tensor in found.values()) else None

    def keep_fitted(self, record: VoiceRecord, tensors: Mapping[str, Tensor], key: str) -> None:
        """Keep what was fitted to a voice, which is good for what `key` names. Raises `OutputError`."""
        with self._lock:
            folder = self._folder / self._known(record.id).id
            try:
                _write_tensors(folder / FITTED, tensors, {"key": key})
            except OSError as error:
                raise not_written("The fitted voice cannot be kept", error, "Check DATA_DIR and free space.") from error

    def _known(self, name_or_id: str) -> VoiceRecord:
        record = self.find(name_or_id)
        if record is None:
            raise UnknownVoice(f"There is no added voice '{shown(name_or_id)}'. List the voices to see what there is.")
        return record


def check_new_voice(name: str, text: str, consent: bool) -> None:
    """Raise `BadVoice` unless a voice may be added under this name: asked before the work, not after it."""
    if consent is not True:
        raise BadVoice(
            "The speaker's consent was not confirmed. Add only voices whose speaker agreed, and say so with consent=true."
        )
    check_name(name)
    if not isinstance(text, str) or len(text) > MAX_TEXT_CHARS:
        raise BadVoice(f"The words of the sample may be {MAX_TEXT_CHARS} characters at most. Send only what is spoken.")


def check_name(name: str) -> None:
    """Raise `BadVoice` unless this can be the name of a voice."""
    if not isinstance(name, str) or not 0 < len(name.strip()) <= MAX_NAME_CHARS or not _is_speakable(name.strip()):
        raise BadVoice(
            f"'{shown(name)}' cannot be the name of a voice; expected 1 to {MAX_NAME_CHARS} letters, digits, spaces and "
            ". _ - ' characters, starting with a letter or digit. Choose another."
        )


def plain_name(name: str) -> str:
    """Names that look alike are alike."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def shown(name: object) -> str:
    """A name from outside, safe to repeat in a message."""
    return "".join(character for character in str(name)[:MAX_NAME_CHARS] if character.isprintable())


def _is_speakable(name: str) -> bool:
    return name[0].isalnum() and all(character.isalnum() or character in " ._-'" for character in name)


def _as_kept(sample: Waveform) -> Waveform:
    """The sample as FLAC can hold it: a voice is one speaker, however many microphones heard it at whatever rate."""
    mixed = sample if sample.n_channels <= MAX_KEPT_CHANNELS else sample.mono()
    return mixed if mixed.rate_hz <= MAX_KEPT_RATE_HZ else resample(mixed, MAX_KEPT_RATE_HZ)


def _write_codes(folder: Path, codes: Codes) -> None:
    _write_tensors(folder / CODES, {"indices": codes.indices.to("cpu", torch.int32)})


def _write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: dict[str, str] | None = None) -> None:
    partial = path.with_name(f".{path.name}.part")
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, facts)
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _write_record(folder: Path, record: VoiceRecord) -> None:
    partial = folder / f".{RECORD}.part"
    partial.write_text(json.dumps({"format": FORMAT, **asdict(record)}, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, folder / RECORD)


def _read_record(folder: Path) -> VoiceRecord:
    try:
        with (folder / RECORD).open("rb") as file:
            content: Any = json.loads(file.read(MAX_RECORD_BYTES))
        if content.pop("format") != FORMAT:
            raise BadVoice(f"Its {RECORD} is of another format. Update Phonogram.")
        record = VoiceRecord(**content)
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise BadVoice(f"Its {RECORD} is missing or damaged. Delete the folder, or restore it.") from error
    if record.id != folder.name or not all(
        isinstance(value, str) for value in (record.name, record.text, record.codec)
    ):
        raise BadVoice(f"Its {RECORD} is not its own. Delete the folder, or restore it.")
    return record
