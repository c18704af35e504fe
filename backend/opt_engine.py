"""`OptimizedEngine`: the facade over the models for the server and the command line."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend.device import Device, find_device
from backend.errors import EngineFailure, LimitExceeded, NotAvailable, NotReady
from backend.monitor.gpu import GpuMonitor, GpuReading
from backend.monitor.process import ProcessMonitor, ProcessReading
from backend.runtime.idle_unload import IdleTimer
from backend.runtime.lru_cache import content_key
from backend.runtime.request import ReferenceClip, SpeechRequest
from backend.settings import Settings

if TYPE_CHECKING:
    import numpy as np

    from backend.audio.waveform import Waveform
    from backend.codes import Codes
    from backend.pipeline.codec.in_memory import CodeFile
    from backend.pipeline.model_loading import LoadedModel
    from backend.pipeline.speech.stream import Speech, SpeechStream
    from backend.pipeline.speech.synthesizer import Synthesizer, SynthesizerCounts
    from backend.pipeline.speech.voice_library import Voice, VoiceLibrary
    from backend.runtime.lm_worker import BatchSnapshot
    from backend.runtime.lru_cache import CacheCounts

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EmotionGuide:
    """The emotion markers a checkpoint supports, in their written form, by group."""

    family: str
    groups: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """State and metrics of the engine. Model fields are None while no model is loaded."""

    model: str
    is_loaded: bool
    device: str
    device_name: str
    family: str | None = None
    codec: str | None = None
    sample_rate_hz: int | None = None
    frame_rate_hz: float | None = None
    notes: tuple[str, ...] = ()
    is_watermarked: bool = False
    frames_per_s: float | None = None
    batch: BatchSnapshot | None = None
    counts: SynthesizerCounts | None = None
    caches: dict[str, CacheCounts] | None = None
    process: ProcessReading | None = None
    card: GpuReading | None = None  # the GPU; the field name is part of the API


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The objects released when the model is unloaded."""

    model: LoadedModel
    synthesizer: Synthesizer
    voices: VoiceLibrary
    lexicon_key: str = ""


class OptimizedEngine:
    """Loads one checkpoint and serves synthesis, encoding and decoding. Thread-safe.

    Every method raises only `PhonogramError`s. `load` reads the checkpoint with `open_model`.
    """

    def __init__(self, settings: Settings, open_model: Callable[[Settings, Device], LoadedModel] | None = None):
        self.settings = settings
        self._open_model = open_model or _open_checkpoint
        self._device = find_device(settings.device)
        self._loaded: _Loaded | None = None
        self._name = ""
        self._is_open = False
        self._lock = threading.RLock()
        self._idle = IdleTimer(settings.idle_unload_s, self._unload_if_idle)
        self._process = ProcessMonitor()
        self._gpu = _gpu_of(self._device)

    def load(self) -> None:
        """Load the checkpoint, optimize it for this machine and run a warm-up request. Idempotent.

        Raises `NotAvailable` if there is no checkpoint, `BadCheckpoint` if it is unusable, and `BadText` naming an
        invalid line of the lexicon.
        """
        with self._lock:
            self._is_open = True
            if self._loaded is None:
                self._loaded = self._started()

    def unload(self) -> None:
        """Free the models' memory. The next request loads them again."""
        with self._lock:
            loaded, self._loaded = self._loaded, None
        if loaded is not None:
            loaded.synthesizer.close()
            del loaded
            _free_memory(self._device)

    def close(self) -> None:
        """Stop all threads and fail pending requests. Idempotent."""
        self._idle.close()
        with self._lock:
            self._is_open = False
        self.unload()
        if self._gpu is not None:
            self._gpu.close()
            self._gpu = None

    def stream(self, request: SpeechRequest) -> SpeechStream:
        """Return a stream of audio chunks once the first chunk exists. Raises request errors and `Busy`."""
        stream = self.begin(request)
        stream.first()
        return stream

    def begin(self, request: SpeechRequest, client: str = "") -> SpeechStream:
        """Queue a request and return its stream, which can be awaited or cancelled at any time.

        Requests are served round-robin by client, in order of arrival for each client. Raises `Busy` and validation
        errors; later errors are raised by the stream.
        """
        if len(request.text) > self.settings.max_text_chars:
            raise LimitExceeded(
                f"The text has {len(request.text)} characters; the limit is {self.settings.max_text_chars} "
                "(MAX_TEXT_CHARS). Send it in parts."
            )
        loaded = self._begin()
        is_handed_over = False
        try:
            voice = None if request.references else loaded.voices.conditioning(request.voice)
            is_handed_over = True
            return loaded.synthesizer.begin(request, voice, self._idle.end, client)
        finally:
            if not is_handed_over:
                self._idle.end()

    def speak(self, request: SpeechRequest) -> Speech:
        """Synthesize the whole text: `stream`, collected."""
        return self.stream(request).collect()

    def encode(self, waveform: Waveform) -> Codes:
        """Encode audio to codes [1, K, T]. Raises `LimitExceeded` past MAX_AUDIO_S."""
        self._check_length(waveform)
        with self._in_use() as loaded:
            return loaded.synthesizer.encode(waveform)

    def decode(self, codes: Codes) -> Waveform:
        """Decode codes [1, K, T]. Raises `BadCodes` for codes of another codec."""
        with self._in_use() as loaded:
            return loaded.synthesizer.decode(codes)

    def decode_indices(self, sounds: Sequence[np.ndarray]) -> list[Waveform]:
        """Decode arrays of codes [K, T]. Raises `BadCodes`, and `LimitExceeded` past MAX_AUDIO_S in total."""
        from backend.pipeline.codec.in_memory import decode_indices

        with self._in_use() as loaded:
            return decode_indices(sounds, loaded.synthesizer, self.settings.max_audio_s)

    def encode_file(self, waveform: Waveform, n_codebooks: int | None = None) -> CodeFile:
        """Encode audio to a code file. Raises `LimitExceeded` past MAX_AUDIO_S."""
        from backend.pipeline.codec.in_memory import encode_file

        self._check_length(waveform)
        with self._in_use() as loaded:
            return encode_file(waveform, loaded.synthesizer, loaded.model.codes_hash, n_codebooks)

    def decode_file(self, content: bytes) -> Waveform:
        """Decode a code file. Raises `BadContainer` for a damaged file and for one of another codec."""
        from backend.pipeline.codec.in_memory import decode_file

        with self._in_use() as loaded:
            return decode_file(content, loaded.synthesizer, loaded.model.codes_hash, self.settings.max_audio_s)

    def read_code_file(self, content: bytes) -> CodeFile:
        """Read the header and codes of a code file of any codec. Raises `BadContainer` for a damaged file."""
        from backend.pipeline.codec.in_memory import read_file

        with self._in_use() as loaded:
            spec = loaded.model.codec.spec
            return read_file(content, spec, loaded.model.codes_hash, self.settings.max_audio_s)

    def voice_key(self, voice: str | None) -> str:
        """Return a cache key that changes when the same text and seed would sound different. Raises `UnknownVoice`."""
        with self._in_use() as loaded:
            model = loaded.model
            mark = (self.settings.watermark_key,) if self.settings.watermark else ()
            return content_key(
                model.model_key, model.codes_hash, loaded.voices.conditioning(voice).key, loaded.lexicon_key, *mark
            )

    @property
    def occupancy(self) -> BatchSnapshot | None:
        """Counts of active and waiting requests; None while no model is loaded."""
        loaded = self._loaded
        return None if loaded is None else loaded.synthesizer.batch

    def voices(self) -> tuple[Voice, ...]:
        """Return the built-in voices, then the added ones by name."""
        with self._in_use() as loaded:
            return loaded.voices.all()

    def add_voice(self, name: str, clip: ReferenceClip, text: str, consent: bool) -> Voice:
        """Add a voice from a clip and its transcript `text`. Raises `BadVoice` without the speaker's consent."""
        with self._in_use() as loaded:
            return loaded.voices.add(name, clip, text, consent)

    def delete_voice(self, voice_id: str) -> None:
        """Remove an added voice. Raises `UnknownVoice`."""
        with self._in_use() as loaded:
            loaded.voices.delete(voice_id)

    def rename_voice(self, voice_id: str, name: str) -> Voice:
        """Rename an added voice; its id stays. Raises `UnknownVoice`, `VoiceExists` and `BadVoice`."""
        with self._in_use() as loaded:
            return loaded.voices.rename(voice_id, name)

    def voice_similarity(self, voice_id: str, text: str, seed: int | None = None) -> float:
        """Synthesize `text` and return the cosine similarity, -1...1, of its speaker embedding to the voice's.

        Uses the checkpoint's speaker encoder. Raises `NotSupported` if it has none, and `UnknownVoice`.
        """
        with self._in_use() as loaded:
            loaded.voices.require_similarity(voice_id)
        speech = self.speak(SpeechRequest(text=text, voice=voice_id, seed=seed, whole=True, use_memory_cache=False))
        with self._in_use() as loaded:
            return loaded.voices.similarity(voice_id, speech.codes)

    def emotions(self) -> EmotionGuide:
        """Return the emotion markers that the loaded checkpoint supports."""
        from backend.text.markup.emotions import markers

        with self._in_use() as loaded:
            family = loaded.model.lm.spec.family
            return EmotionGuide(family, markers(family))

    def clear_caches(self) -> dict[str, int]:
        """Clear all caches and return the number of entries each one held."""
        loaded = self._loaded
        return {} if loaded is None else loaded.synthesizer.clear_caches()

    def status(self) -> EngineStatus:
        """Return the current state and metrics without loading a model. Raises `EngineFailure` if a thread died."""
        process, gpu = self._process.read(), _read_gpu(self._gpu)
        loaded = self._loaded
        if loaded is not None:
            try:
                loaded.synthesizer.require_alive()
            except EngineFailure:
                if self._loaded is loaded:
                    raise
                loaded = None  # unloaded in the meantime, which ends its threads
        if loaded is None:
            return EngineStatus(
                self._name, False, self._device.label, self._device.name, process=process, card=gpu
            )  # fmt: skip
        spec = loaded.model.codec.spec
        return EngineStatus(
            loaded.model.name, True, self._device.label, self._device.name, family=loaded.model.lm.spec.family,
            codec=spec.name, sample_rate_hz=spec.sample_rate_hz, frame_rate_hz=spec.frame_rate_hz,
            notes=loaded.model.current_notes, is_watermarked=self.settings.watermark,
            frames_per_s=loaded.synthesizer.throughput.frames_per_s, batch=loaded.synthesizer.batch,
            counts=loaded.synthesizer.counts, caches=loaded.synthesizer.caches, process=process, card=gpu,
        )  # fmt: skip

    def _check_length(self, waveform: Waveform) -> None:
        if waveform.duration_s > self.settings.max_audio_s:
            raise LimitExceeded(
                f"The audio is {waveform.duration_s:.0f} s long; the limit is {self.settings.max_audio_s:g} s "
                "(MAX_AUDIO_S). Cut it."
            )

    def _begin(self) -> _Loaded:
        """Mark the model as in use and load it if it was unloaded. Pair each call with `_idle.end`."""
        self._idle.begin()
        with ExitStack() as undo, self._lock:
            undo.callback(self._idle.end)
            if not self._is_open:
                raise NotReady("The engine is not loaded. Load it first.")
            if self._loaded is None:
                self._loaded = self._started()
            undo.pop_all()
            return self._loaded

    @contextmanager
    def _in_use(self) -> Iterator[_Loaded]:
        loaded = self._begin()
        try:
            yield loaded
        finally:
            self._idle.end()

    def _started(self) -> _Loaded:
        from backend.pipeline.speech.synthesizer import Synthesizer, SynthesizerLimits
        from backend.pipeline.speech.voice_library import VoiceLibrary
        from backend.storage.voices import VoiceStore
        from backend.text.phonemes.lexicon import Lexicon

        settings = self.settings
        # Read before the model, which takes longer, so that an invalid line is reported at once.
        lexicon, lexicon_key = None, ""
        if settings.lexicon:
            path = settings.folder(settings.lexicon)
            lexicon = Lexicon.load(path)
            lexicon_key = content_key(path.read_bytes())
        model = self._open_model(settings, self._device)
        limits = SynthesizerLimits(
            n_rows=settings.max_batch, max_waiting=settings.max_queue, max_frames=settings.max_seq_len,
            cache_entries=settings.cache_limit, chunk_samples=settings.chunk_size, max_wait_s=settings.max_wait_s,
        )  # fmt: skip
        synthesizer = Synthesizer(
            model.lm, model.codec, model.tokenizer, model_key=model.model_key, codes_hash=model.codes_hash,
            limits=limits, encoder=model.encoder, side_sizes=model.side_sizes,
            device=self._device.label, lm_thread=model.lm_thread, codec_thread=model.codec_thread,
            lexicon=lexicon, watermark_key=settings.watermark_key if settings.watermark else None, voice_adapter=model.voice_adapter,
        )  # fmt: skip
        synthesizer.start()
        store = VoiceStore(settings.folder(settings.data_dir) / "voices")
        self._name = model.name
        log.info("Loaded '%s' on %s.", model.name, self._device.label)
        voices = VoiceLibrary(store, synthesizer, model.codes_hash, model.voices, model.voice_adapter)
        synthesizer.find_voice = voices.conditioning
        # Freeze the loaded objects: each collection over these 400,000 stopped every thread for 0.33 s.
        gc.freeze()
        return _Loaded(model, synthesizer, voices, lexicon_key)

    def _unload_if_idle(self) -> None:
        with self._lock:
            if not self._idle.is_idle:
                return
            log.info("Unloading '%s' after %.0f s without a request.", self._name, self._idle.after_s)
            self.unload()


def _open_checkpoint(settings: Settings, device: Device) -> LoadedModel:
    from backend.optimize.planner.decision import PlanOptions
    from backend.pipeline.model_loading import find_model, open_model

    options = PlanOptions(
        mixed_precision=settings.mixed_precision, quantization=settings.quantization,
        compile=settings.enable_torch_compile, cuda_graphs=settings.enable_cuda_graphs,
        cpu_kernel=settings.enable_cpu_kernel, num_streams=settings.num_streams,
    )  # fmt: skip
    return open_model(find_model(settings.model_dir), device.torch_device(), options, settings.voice_fit_steps)


def _gpu_of(device: Device) -> GpuMonitor | None:
    if device.kind != "cuda":
        return None
    try:
        return GpuMonitor(int(device.label.partition(":")[2] or 0))
    except NotAvailable as error:
        log.warning("GPU monitoring is unavailable: %s", error)
        return None


def _read_gpu(gpu: GpuMonitor | None) -> GpuReading | None:
    try:
        return None if gpu is None else gpu.read()
    except NotAvailable:
        return None


def _free_memory(device: Device) -> None:
    gc.unfreeze()
    gc.collect()
    if device.kind == "cuda":
        import torch

        torch.cuda.empty_cache()
