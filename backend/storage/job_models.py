"""Job records: jobs, chapters, sentences and takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

JobState = Literal["waiting", "speaking", "writing", "paused", "cancelled", "failed", "done"]
TakeState = Literal["waiting", "done", "skipped"]
# Jobs in these states continue without user action, also after a restart.
RUNNABLE: tuple[JobState, ...] = ("waiting", "speaking", "writing")


@dataclass(frozen=True, slots=True)
class SpeechParams:
    """Synthesis parameters of a job's sentences, with the fields of a speech request."""

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
    """A sentence to synthesize, with its own seed. `chapter` counts from 0; `pause_s` is the silence after it."""

    chapter: int
    text: str
    seed: int
    pause_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _JobParams:
    """Parameters of a job. `source` is a hash of the text and all parameters.

    `left_out` says in sentences what the document holds and the job does not read.
    """

    title: str
    author: str
    format: str
    seed: int
    delivery: SpeechParams
    voice_key: str
    source: str
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob(_JobParams):
    """A job to create."""

    chapters: tuple[str, ...]
    sentences: tuple[NewSentence, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord(_JobParams):
    """The current state of a job. `revision` grows with every change; `file` is "" until the audio file is complete."""

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
    """A chapter. `start_s` is its position in the audio file, None until the file exists."""

    title: str
    start_s: float | None


@dataclass(frozen=True, slots=True)
class TakeRecord:
    """One synthesis of a sentence, done or waiting. `sound` is the key of its audio file; "" until it is done."""

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
    """A sentence and its takes; take `chosen` is used. `revision` is the job's revision of its last change."""

    index: int
    chapter: int
    pause_s: float
    chosen: int
    revision: int
    takes: tuple[TakeRecord, ...]

    @property
    def chosen_take(self) -> TakeRecord:
        return self.takes[self.chosen]


@dataclass(frozen=True, slots=True)
class TakeTask:
    """A take to synthesize."""

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
