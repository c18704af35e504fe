"""Encode and decode tasks for the codec thread, run in short steps so that live streams are not delayed."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from backend.audio.waveform import Waveform
from backend.codec.base import CausalCodec
from backend.codes import CodecSpec, Codes
from backend.errors import PhonogramError
from backend.monitor.log_format import REQUEST_ID
from backend.pipeline.codec.stream import convert_for_codec

Result = TypeVar("Result")
PIECE_S = 1.0


class _StepTask(Generic[Result]):
    """Base of tasks that run step by step on the codec thread and set `future`."""

    def __init__(self) -> None:
        self.future: Future[Result] = Future()
        self.request_id = REQUEST_ID.get()
        self.due_s = time.monotonic()
        self._n_done = 0
        self._state: Any = None

    @property
    def is_ready(self) -> bool:
        return True

    @property
    def is_over(self) -> bool:
        return self.future.done()

    def fail(self, error: PhonogramError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class EncodeTask(_StepTask[Codes]):
    """Encodes audio; `future` gives the codes [1, K, T].

    `with_lag` pads the audio with silence for the codec's latency, so that decoding returns every sample.
    """

    def __init__(self, waveform: Waveform, spec: CodecSpec, with_lag: bool = False):
        super().__init__()
        samples = convert_for_codec(waveform, spec).samples
        if with_lag:
            samples = np.pad(samples, ((0, 0), (0, spec.latency_samples)))
        self._samples = samples
        self._piece_samples = max(1, round(PIECE_S * spec.frame_rate_hz)) * spec.hop_samples
        self._done: list[torch.Tensor] = []

    def advance(self, codec: CausalCodec) -> None:
        if self._state is None:
            self._state = codec.init_state(1)
        weight = next(codec.parameters())
        piece = torch.from_numpy(self._samples[:, self._n_done : self._n_done + self._piece_samples])[None]
        codes = codec.encode(piece.to(weight.device, weight.dtype), self._state)
        self._done.append(codes.indices)
        self._n_done += piece.shape[2]
        if self._n_done == self._samples.shape[1]:
            self._done.append(codec.finish(self._state).indices)
            self.future.set_result(Codes(torch.cat(self._done, dim=2).cpu(), codec.spec.name))


class DecodeTask(_StepTask[Waveform]):
    """Decodes codes [1, K, T]; `future` gives the audio without the codec's latency: T * hop - latency samples."""

    def __init__(self, codes: Codes, spec: CodecSpec):
        super().__init__()
        self._codes, self._spec = codes, spec
        self._piece_frames = max(1, round(PIECE_S * spec.frame_rate_hz))
        self._done: list[np.ndarray] = []

    def advance(self, codec: CausalCodec) -> None:
        if self._state is None:
            self._state = codec.init_state(1)
        indices = self._codes.indices[:, :, self._n_done : self._n_done + self._piece_frames]
        piece = Codes(indices.to(next(codec.parameters()).device), self._codes.codec)
        self._done.append(codec.decode(piece, self._state)[0].float().cpu().numpy())
        self._n_done += indices.shape[2]
        if self._n_done == self._codes.n_frames:
            samples = np.concatenate(self._done, axis=1)[:, self._spec.latency_samples :]
            self.future.set_result(Waveform(np.ascontiguousarray(samples), self._spec.sample_rate_hz))
