"""The engine protocol of the routes, and the host that loads the engine and runs its calls in threads."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from backend.audio.waveform import Waveform
from backend.errors import Busy, NotReady, PhonogramError, ShuttingDown
from backend.runtime.request import ReferenceClip, SpeechRequest

log = logging.getLogger(__name__)

Result = TypeVar("Result")

# Speech requests running or queued. Each uses one thread at most, so the other calls always get one.
MAX_SPEECHES = 64
MAX_THREADS = MAX_SPEECHES + 16
# Long-running codec and voice tasks; the remaining threads stay free for short calls.
MAX_TASKS = 8
# A restarted server is likely to be up after this time.
RESTART_S = 5.0
SHUTDOWN_MESSAGE = "The server is shutting down and accepts no new speech."


class SpeechStreamProtocol(Protocol):
    """A queued or running speech. `metrics` and `finish_reason` are final after the last chunk."""

    sample_rate_hz: int
    ignored: tuple[str, ...]

    @property
    def metrics(self) -> Any: ...

    @property
    def finish_reason(self) -> str: ...

    @property
    def is_watermarked(self) -> bool: ...

    @property
    def sentences(self) -> Sequence[Any]: ...

    def __iter__(self) -> Iterator[Waveform]: ...

    def cancel(self) -> None: ...


class SpeechEngine(Protocol):
    """The part of `OptimizedEngine` that the routes use. Every method may block and may raise a `PhonogramError`."""

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
    """Accepts new speech until it is drained for shutdown."""

    is_stopping = False

    def drain(self) -> None:
        """Stops accepting new speech; open requests continue."""
        self.is_stopping = True

    def require_open(self) -> None:
        """Raises `ShuttingDown` while draining."""
        if self.is_stopping:
            raise ShuttingDown(f"{SHUTDOWN_MESSAGE} Try again in a moment.", RESTART_S)


class EngineHost(Drainable):
    """Loads the engine outside the event loop, so that the server responds at once, and runs its calls in threads."""

    def __init__(self, build: Callable[[], SpeechEngine]) -> None:
        self._build = build
        self._loading: Future[SpeechEngine] | None = None
        self.n_speeches = self.n_tasks = 0
        self.n_sockets = 0
        self._threads = ThreadPoolExecutor(MAX_THREADS, "engine-call")

    def start(self) -> None:
        """Starts loading the engine in the background."""
        loader = ThreadPoolExecutor(1, "engine-load")
        self._loading = loader.submit(self._load)
        self._loading.add_done_callback(_report)
        loader.shutdown(wait=False)

    def wait(self, timeout_s: float | None) -> None:
        """Waits until loading has succeeded or failed."""
        if self._loading is not None:
            self._loading.exception(timeout_s)

    @property
    def engine(self) -> SpeechEngine:
        """The loaded engine; raises `NotReady` before it is loaded."""
        reason = self._not_loaded_reason
        if reason is not None or self._loading is None:
            raise NotReady(reason or "The engine was not started.")
        return self._loading.result()

    @property
    def unavailable_reason(self) -> str | None:
        """The reason why speech cannot be generated now; None when it can."""
        return SHUTDOWN_MESSAGE if self.is_stopping else self._not_loaded_reason

    @property
    def _not_loaded_reason(self) -> str | None:
        if self._loading is None or not self._loading.done():
            return "The engine is still loading. Poll GET /ready until it returns 200."
        error = self._loading.exception()
        if error is None:
            return None
        if isinstance(error, PhonogramError):
            return str(error)
        return "The engine could not be loaded; the server log has the reason. Fix it and start the server again."

    @property
    def is_loading(self) -> bool:
        return self._loading is not None and not self._loading.done()

    async def run(self, call: Callable[..., Result], *arguments: Any) -> Result:
        """Runs a blocking call in the engine's thread pool."""
        # In the context of the request, so that log lines carry its id.
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._threads, context.run, call, *arguments)

    async def run_task(self, call: Callable[..., Result], *arguments: Any) -> Result:
        """Runs a long call other than speech. Raises `Busy` when too many are running, and `ShuttingDown`."""
        self.require_open()
        if self.n_tasks >= MAX_TASKS:
            raise Busy(f"{MAX_TASKS} audio tasks are already running. Try again soon.", retry_after_s=1.0)
        self.n_tasks += 1
        try:
            return await self.run(call, *arguments)
        finally:
            self.n_tasks -= 1

    def close(self) -> None:
        """Closes the engine. Waits for one that is still loading, since loading cannot be interrupted."""
        if self._loading is not None and self._loading.exception() is None:
            self._loading.result().close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _load(self) -> SpeechEngine:
        engine = self._build()
        engine.load()
        return engine


def _report(loading: Future[SpeechEngine]) -> None:
    error = loading.exception()
    if isinstance(error, PhonogramError):
        log.warning("The engine could not be loaded: %s", error)
    elif error is not None:
        log.error("The engine could not be loaded", exc_info=error)
    else:
        log.info("The engine is loaded")
