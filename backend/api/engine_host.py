"""The engine as the routes see it: what it can do, and the one place that loads it and gives it threads."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from fastapi import Request

from backend.audio.waveform import Waveform
from backend.errors import Busy, NotReady, PhonogramError, ShuttingDown
from backend.runtime.request import ReferenceClip, SpeechRequest

log = logging.getLogger(__name__)

Result = TypeVar("Result")

# Speeches being made or waiting. Each needs one thread at most, so the others always find one.
MAX_SPEECHES = 64
MAX_THREADS = MAX_SPEECHES + 16
# Of the other threads, those that may be at long work at a time: short questions always find one.
MAX_TASKS = 8
# Whoever is refused by a server that stops may find another one in its place then.
RESTART_S = 5.0
STOPS = "The server stops and takes no new speech."


class SpeechStreamProtocol(Protocol):
    """Speech that waits or is made; `metrics` and `finish_reason` are final after the last piece."""

    sample_rate_hz: int
    ignored: tuple[str, ...]

    @property
    def metrics(self) -> Any: ...

    @property
    def finish_reason(self) -> str: ...

    @property
    def is_marked(self) -> bool: ...

    @property
    def sentences(self) -> Sequence[Any]: ...

    def __iter__(self) -> Iterator[Waveform]: ...

    def cancel(self) -> None: ...


class SpeechEngine(Protocol):
    """What the routes ask of `OptimizedEngine`. Every method may block and may raise a `PhonogramError`."""

    def load(self) -> None: ...

    def close(self) -> None: ...

    def begin(self, request: SpeechRequest, client: str = "") -> SpeechStreamProtocol: ...

    def encode(self, waveform: Waveform) -> Any: ...

    def decode(self, codes: Any) -> Waveform: ...

    def decode_indices(self, sounds: Any) -> list[Waveform]: ...

    def encode_file(self, waveform: Waveform, n_codebooks: int | None = None) -> Any: ...

    def decode_file(self, content: bytes) -> Waveform: ...

    def read_code_file(self, content: bytes) -> Any: ...

    @property
    def occupancy(self) -> Any: ...

    def voice_key(self, voice: str | None) -> str: ...

    def voices(self) -> tuple[Any, ...]: ...

    def add_voice(self, name: str, clip: ReferenceClip, text: str, consent: bool) -> Any: ...

    def delete_voice(self, voice_id: str) -> None: ...

    def rename_voice(self, voice_id: str, name: str) -> Any: ...

    def voice_similarity(self, voice_id: str, text: str, seed: int | None = None) -> float: ...

    def emotions(self) -> Any: ...

    def status(self) -> Any: ...

    def clear_caches(self) -> dict[str, int]: ...


class Drainable:
    """Takes new speech until it is told not to."""

    is_stopping = False

    def refuse_new(self) -> None:
        """From now on take no new speech; what is open goes on."""
        self.is_stopping = True

    def require_open(self) -> None:
        """Raise `ShuttingDown` if no new speech is taken."""
        if self.is_stopping:
            raise ShuttingDown(f"{STOPS} Try again in a moment.", RESTART_S)


class EngineHost(Drainable):
    """Loads the engine off the event loop, so that the server answers at once, and runs calls in threads."""

    def __init__(self, build: Callable[[], SpeechEngine]) -> None:
        self._build = build
        self._loading: Future[SpeechEngine] | None = None
        self.n_speeches = self.n_tasks = 0
        self.n_sockets = 0
        self._threads = ThreadPoolExecutor(MAX_THREADS, "engine-call")

    def start(self) -> None:
        """Begin to load."""
        loader = ThreadPoolExecutor(1, "engine-load")
        self._loading = loader.submit(self._load)
        self._loading.add_done_callback(_report)
        loader.shutdown(wait=False)

    def wait(self, timeout_s: float | None) -> None:
        """Wait until loading is over, however it ended."""
        if self._loading is not None:
            self._loading.exception(timeout_s)

    @property
    def engine(self) -> SpeechEngine:
        """The loaded engine; raises `NotReady` while there is none."""
        reason = self._unloaded
        if reason is not None or self._loading is None:
            raise NotReady(reason or "The engine was not started.")
        return self._loading.result()

    @property
    def missing(self) -> str | None:
        """Why no text can be spoken now; None when one can."""
        return STOPS if self.is_stopping else self._unloaded

    @property
    def _unloaded(self) -> str | None:
        if self._loading is None or not self._loading.done():
            return "The engine is still loading. Ask GET /ready until it answers 200."
        error = self._loading.exception()
        if error is None:
            return None
        if isinstance(error, PhonogramError):
            return str(error)
        return "The engine could not be loaded; the server's log says why. Correct it and start again."

    @property
    def is_loading(self) -> bool:
        return self._loading is not None and not self._loading.done()

    async def run(self, call: Callable[..., Result], *arguments: Any) -> Result:
        """Run a blocking call in a thread of the engine's own share."""
        # In the request's own context: what is logged there carries its id.
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._threads, context.run, call, *arguments)

    async def work(self, call: Callable[..., Result], *arguments: Any) -> Result:
        """Run a call that takes long and is no speech. Raises `Busy` if too many are at work, and `ShuttingDown`."""
        self.require_open()
        if self.n_tasks >= MAX_TASKS:
            raise Busy(f"{MAX_TASKS} sounds are being worked on already. Try again soon.", retry_after_s=1.0)
        self.n_tasks += 1
        try:
            return await self.run(call, *arguments)
        finally:
            self.n_tasks -= 1

    def close(self) -> None:
        """End the engine; one that is still loading is waited for, since nothing can interrupt it."""
        if self._loading is not None and self._loading.exception() is None:
            self._loading.result().close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _load(self) -> SpeechEngine:
        engine = self._build()
        engine.load()
        return engine


def host_of(request: Request) -> EngineHost:
    return request.app.state.host


def _report(loading: Future[SpeechEngine]) -> None:
    error = loading.exception()
    if isinstance(error, PhonogramError):
        log.warning("The engine could not be loaded: %s", error)
    elif error is not None:
        log.error("The engine could not be loaded", exc_info=error)
    else:
        log.info("The engine is ready")
