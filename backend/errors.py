"""The error tree. Every message states what was given, what was expected, and what to do."""

from __future__ import annotations

import errno
from typing import ClassVar


class PhonogramError(Exception):
    """Base of all errors shown to users; the message contains no paths and no stack trace."""

    # The `error` field clients read. Set it only to keep the value published under an earlier class name.
    published_kind: ClassVar[str | None] = None

    @property
    def kind(self) -> str:
        """The value of the `error` field in responses."""
        return vars(type(self)).get("published_kind") or type(self).__name__


class RetryLater(PhonogramError):
    """Base of temporary errors: retry after `retry_after_s`."""

    def __init__(self, message: str, retry_after_s: float):
        super().__init__(message)
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[type[RetryLater], tuple[str, float]]:
        # Errors are pickled between processes; the default would drop `retry_after_s`.
        return type(self), (str(self), self.retry_after_s)


class BadAudio(PhonogramError):
    """Audio that cannot be read or used: unknown format, truncated, empty, NaN."""


class BadText(PhonogramError):
    """Text that cannot be synthesized: empty, broken markup, an unsupported script, a bad lexicon."""


class LimitExceeded(PhonogramError):
    """Input larger or longer than a configured limit."""


class BadCodes(PhonogramError):
    """Codes with a shape, type or range that the codec does not accept."""


class CodebookMismatch(BadCodes):
    """Codes with more codebooks than the codec has."""


class BadContainer(PhonogramError):
    """A code file that is truncated, corrupt, of another format, or written by another model."""


class BadCheckpoint(PhonogramError):
    """A checkpoint folder that is missing, incomplete or does not fit its model."""


class BadSettings(PhonogramError):
    """A setting that is unknown or out of range."""


class OutputError(PhonogramError):
    """An output that cannot be written to the requested place."""


class NotAvailable(PhonogramError):
    """An optional package, program or weight file that is not installed."""


class NotSupported(NotAvailable):
    """A feature that the loaded checkpoint does not support."""


class ScoreUnavailable(PhonogramError):
    """Audio that a metric cannot score: too short, silent, not speech."""


class BadRequest(PhonogramError):
    """A request parameter that is out of bounds or unsupported by this checkpoint.

    `param` names the parameter if only one is wrong; `code` classifies the error.
    """

    def __init__(self, message: str, param: str | None = None, code: str = "invalid_value"):
        super().__init__(message)
        self.param, self.code = param, code


class VoiceAdaptationError(BadRequest):
    """A recording that cannot be used for voice adaptation."""

    published_kind = "CannotFit"


class BadVoice(PhonogramError):
    """A voice that cannot be added because of its name, its sample or missing consent."""


class VoiceExists(BadVoice):
    """A voice with this name exists already."""


class UnknownVoice(PhonogramError):
    """A voice that is neither built in nor added."""


class UnknownModel(PhonogramError):
    """A model name that is neither the loaded model nor one of its aliases."""


class Busy(RetryLater):
    """The queue is full; retry after `retry_after_s`."""


class TimedOut(PhonogramError):
    """Work that did not end by its deadline."""


class Cancelled(PhonogramError):
    """Work that the client cancelled."""


class EngineFailure(PhonogramError):
    """An internal error in a worker; the log has the cause."""


class ReplicaLost(EngineFailure, RetryLater):
    """A replica process that ended during a request; retry after `retry_after_s`."""

    published_kind = "SpeakerLost"


class NotReady(PhonogramError):
    """An engine that is still loading, or could not be loaded."""


class ShuttingDown(NotReady, RetryLater):
    """A server that finishes its requests and accepts no new ones; retry after `retry_after_s`."""

    published_kind = "Stopping"


class BadDocument(PhonogramError):
    """A book or article that cannot be read: damaged, locked, or of another kind."""


class UnknownJob(PhonogramError):
    """A job, sentence or take that does not exist."""


class JobConflict(PhonogramError):
    """An operation that the job's state does not allow, or too many jobs."""


class StorageFull(OutputError):
    """No space left on the disk or in the quota."""


# Disk full, quota exceeded, or maximum file size exceeded.
_FULL = frozenset(getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name))


def write_error(message: str, error: OSError, advice: str) -> OutputError:
    """Return the error of a failed write, without the path: `StorageFull` if there was no space."""
    kind = StorageFull if error.errno in _FULL else OutputError
    return kind(f"{message} ({error.strerror}). {advice}")
