"""The error tree. Every message says what was found, what was expected, and what to do."""

from __future__ import annotations

import errno
from typing import ClassVar


class PhonogramError(Exception):
    """Base of every error a user can meet; its text is safe to show (no paths, no stack)."""

    # The `error` field clients read. Set it only to keep the value published under an earlier class name.
    published_kind: ClassVar[str | None] = None

    @property
    def kind(self) -> str:
        """The value of the `error` field in responses."""
        return vars(type(self)).get("published_kind") or type(self).__name__


class RetryLater(PhonogramError):
    """Base of refusals that pass: worth trying again after `retry_after_s`."""

    def __init__(self, message: str, retry_after_s: float):
        super().__init__(message)
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[type[RetryLater], tuple[str, float]]:
        # Errors cross from one process to another, and this one cannot be made again of its message alone.
        return type(self), (str(self), self.retry_after_s)


class BadAudio(PhonogramError):
    """Audio that cannot be read or used: unknown format, truncated, empty, NaN."""


class BadText(PhonogramError):
    """Text that cannot be spoken: empty, broken markup, a script no voice here can read, a bad lexicon."""


class LimitExceeded(PhonogramError):
    """Input larger or longer than a configured limit."""


class BadCodes(PhonogramError):
    """Codes with the wrong shape, type or range for the codec they are given to."""


class CodebookMismatch(BadCodes):
    """Codes with more codebooks than the codec has."""


class BadContainer(PhonogramError):
    """A code file that is truncated, corrupt, foreign, or written by another model."""


class BadCheckpoint(PhonogramError):
    """A checkpoint folder that is missing, incomplete or does not fit its model."""


class BadSettings(PhonogramError):
    """A setting outside its range or not known at all."""


class OutputError(PhonogramError):
    """An output that cannot be written where it was asked for."""


class NotAvailable(PhonogramError):
    """An optional package, program or weight file that is not here."""


class NotSupported(NotAvailable):
    """Something the loaded checkpoint cannot do, and no waiting or installing will change that."""


class ScoreUnavailable(PhonogramError):
    """Sound that a judge cannot score: too short, silent, not speech."""


class BadRequest(PhonogramError):
    """A request whose parameter is out of bounds or does not fit this checkpoint.

    `param` names the parameter where one alone is wrong; `code` says in one word what is wrong with it.
    """

    def __init__(self, message: str, param: str | None = None, code: str = "invalid_value"):
        super().__init__(message)
        self.param, self.code = param, code


class VoiceAdaptationError(BadRequest):
    """A recording that no voice can be fitted to."""

    published_kind = "CannotFit"


class BadVoice(PhonogramError):
    """A voice that cannot be added: its name, its sample or the speaker's consent."""


class VoiceExists(BadVoice):
    """A voice of that name is there already."""


class UnknownVoice(PhonogramError):
    """A voice that is neither built in nor added."""


class UnknownModel(PhonogramError):
    """A model that is not the loaded one, nor a name it answers to."""


class Busy(RetryLater):
    """The queue is full; worth trying again after `retry_after_s`."""


class TimedOut(PhonogramError):
    """Work that did not end by its deadline."""


class Cancelled(PhonogramError):
    """Work its caller no longer wants."""


class EngineFailure(PhonogramError):
    """A fault of ours or of the machine inside a worker; the cause is in the log."""


class ReplicaLost(EngineFailure, RetryLater):
    """A process that ended while it spoke; another may answer after `retry_after_s`."""

    published_kind = "SpeakerLost"


class NotReady(PhonogramError):
    """An engine that is still loading, or could not be loaded."""


class ShuttingDown(NotReady, RetryLater):
    """A server that finishes what it has begun and takes nothing new; another may answer after `retry_after_s`."""

    published_kind = "Stopping"


class BadDocument(PhonogramError):
    """A book or article that cannot be read: damaged, locked, or of another kind."""


class UnknownJob(PhonogramError):
    """A job, sentence or take that is not there."""


class JobConflict(PhonogramError):
    """A job that cannot do this in the state it is in, or one too many."""


class StorageFull(OutputError):
    """No room on the disk, or in the quota, for what is to be kept."""


# No room on the device, in a quota, or in the largest file allowed.
_FULL = frozenset(getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name))


def not_written(what: str, error: OSError, advice: str) -> OutputError:
    """The error of a write that failed: `StorageFull` where there was no room, without the path."""
    kind = StorageFull if error.errno in _FULL else OutputError
    return kind(f"{what} ({error.strerror}). {advice}")
