"""The error tree. Every message says what was found, what was expected, and what to do."""


class PhonogramError(Exception):
    """Base of every error a user can meet; its text is safe to show (no paths, no stack)."""


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


class NoScore(PhonogramError):
    """Sound that a judge cannot score: too short, silent, not speech."""
