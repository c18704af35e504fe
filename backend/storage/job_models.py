"""What is kept of a job: the job, its chapters, its sentences and every take of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

JobState = Literal["waiting", "speaking", "writing", "paused", "cancelled", "failed", "done"]
TakeState = Literal["waiting", "done", "skipped"]
# A job in one of these goes on by itself, also after a restart.
RUNNABLE: tuple[JobState, ...] = ("waiting", "speaking", "writing")


@dataclass(frozen=True, slots=True)
class SpeechParams:
    """How the sentences of a job are spoken; the fields are those of a speech request."""

    voice: str | None = None
    speed: float = 1.0
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    normalize: bool = True
    loudness_lufs: float | None = -19.0


@dataclass(frozen=True, slots=True)
class NewSentence:
    """A sentence to be spoken, from its own seed; `chapter` counts from 0, `pause_s` is the silence after it."""

    chapter: int
    text: str
    seed: int
    pause_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _JobWish:
    """What was asked for. `source` is the same for the same text spoken the same way."""

    title: str
    author: str
    format: str
    seed: int
    delivery: SpeechParams
    voice_key: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob(_JobWish):
    """A job to be accepted."""

    chapters: tuple[str, ...]
    sentences: tuple[NewSentence, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord(_JobWish):
    """A job as it stands. `revision` grows with every change; `file` is "" until the sound file is whole."""

    id: str
    created_at: str
    updated_at: str
    state: JobState
    reason: str
    revision: int
    n_sentences: int
    n_done: int
    audio_s: float
    file: str
    file_bytes: int
    file_audio_s: float


@dataclass(frozen=True, slots=True)
class ChapterRecord:
    """A chapter; `start_s` in the sound file, None until there is one."""

    title: str
    start_s: float | None


@dataclass(frozen=True, slots=True)
class TakeRecord:
    """One way a sentence was or will be spoken. `sound` names its file; "" until it is done."""

    take: int
    text: str
    seed: int
    state: TakeState
    reason: str
    sound: str
    duration_s: float
    finish_reason: str


@dataclass(frozen=True, slots=True)
class SentenceRecord:
    """A sentence and its takes, of which number `chosen` is heard. `revision`: of the job, when it changed last."""

    index: int
    chapter: int
    pause_s: float
    chosen: int
    revision: int
    takes: tuple[TakeRecord, ...]

    @property
    def heard(self) -> TakeRecord:
        return self.takes[self.chosen]


@dataclass(frozen=True, slots=True)
class TakeTask:
    """A take to be spoken."""

    job: str
    sentence: int
    take: int
    text: str
    seed: int
    delivery: SpeechParams
    voice_key: str

    @property
    def place(self) -> tuple[str, int, int]:
        return self.job, self.sentence, self.take
