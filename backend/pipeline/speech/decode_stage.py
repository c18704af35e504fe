"""Decode stage: streams frames of codes to audio chunks, with crossfades and pauses between segments."""

from __future__ import annotations

import copy
import math
import time
from itertools import chain, repeat
from typing import Any, NamedTuple

import numpy as np
import torch

from backend.audio.crossfade import OVERLAP_S, CrossfadeStream
from backend.audio.loudness import normalize_loudness
from backend.audio.time_stretch import MAX_SPEED, MIN_SPEED, StreamStretcher
from backend.audio.watermark import StreamMarker
from backend.audio.waveform import Waveform
from backend.codec.base import CausalCodec
from backend.codes import CodecSpec, Codes
from backend.errors import PhonogramError
from backend.pipeline.speech.timestamps import SoundSpan
from backend.runtime.bounded_stream import BoundedStream
from backend.runtime.codec_worker import CodecWorker
from backend.runtime.request import Latency, SpeechRequest
from backend.runtime.session import Frame, SegmentStart, Session
from backend.runtime.trace import Trace
from backend.text.markup.speech_script import MAX_PITCH

# Frames per decode call, from the start of a segment; the last number repeats. The grouping depends on the frame index
# only, never on arrival times, so the same codes decode to bit-identical audio. Sixteen frames cost the codec less than
# twice what one does, so groups grow as the client's buffer fills.
GROUPS: dict[Latency, tuple[int, ...]] = {
    "low": (1, 1, 2, *[4] * 5, *[8] * 6, 16),
    "balanced": (2, 2, 4, 8, 8, 8, 16),
    "normal": (8, 8, 16),
}
# Audio buffered for a slow client before decoding pauses.
PIECES_S = 8.0


class _SegmentSnapshot(NamedTuple):
    """Output state at the start of a segment, restored when the segment is regenerated."""

    joiner: CrossfadeStream
    n_ready: int


class SpeechDecodeTask:
    """Decodes one request on the codec thread: reads frames from a session, writes waveforms to `pieces`.

    With `buffers_segments`, a segment is emitted only when complete, so it can be regenerated until then.
    """

    def __init__(
        self, session: Session, spec: CodecSpec, *, chunk_samples: int, latency: Latency, loudness_lufs: float | None,
        speed: float = 1.0, pitch: float = 0.0, buffers_segments: bool = False, watermark_key: str | None = None,
    ):  # fmt: skip
        self.session, self.spec = session, spec
        self.pieces: BoundedStream[Waveform] = BoundedStream(
            round(PIECES_S * spec.sample_rate_hz), lambda piece: piece.n_samples
        )
        self.n_samples = 0
        self._chunk_samples = chunk_samples
        # Until this sample, decoded audio is emitted at once, for a lower time to first audio.
        self._eager_samples = {"low": math.inf, "balanced": chunk_samples, "normal": 0}[latency]
        self._groups = GROUPS[latency]
        self._loudness_lufs = loudness_lufs
        self._due_s = time.monotonic()
        self._first_s: float | None = None
        self._state: Any = None
        self._group = iter(self._groups)
        self._group_frames = self._groups[0]
        self._pending: list[np.ndarray] = []
        self._n_lag = 0
        self._n_segments = 0
        self._joiner = CrossfadeStream(spec.channels, round(OVERLAP_S * spec.sample_rate_hz))
        self._ready = np.zeros((spec.channels, 0), np.float32)
        self._speed, self._pitch, self._buffers_segments = speed, pitch, buffers_segments
        self._stretcher: StreamStretcher | None = None
        self._marker: StreamMarker | None = None
        if watermark_key is not None:
            self._marker = StreamMarker(watermark_key, spec.sample_rate_hz, spec.channels)
        self._snapshot: _SegmentSnapshot | None = None
        self.segments: list[SoundSpan] = []  # the last one grows while it is decoded

    @property
    def request_id(self) -> str:
        return self.session.request_id

    @property
    def is_watermarked(self) -> bool:
        return self._marker is not None

    @property
    def due_s(self) -> float:
        """Monotonic time at which playback from the first chunk runs out of audio."""
        return self._due_s if self._first_s is None else self._first_s + self.n_samples / self.spec.sample_rate_hz

    @property
    def is_over(self) -> bool:
        return self.pieces.is_over

    @property
    def is_ready(self) -> bool:
        frames = self.session.frames
        if frames.is_over:
            return frames.error is not None or self.pieces.has_room
        return self.pieces.has_room and len(frames) >= self._group_frames - len(self._pending)

    def fail(self, error: PhonogramError) -> None:
        self.session.fail(error)
        self.pieces.fail(error)

    def cancel(self) -> None:
        self.session.cancel()
        self.pieces.cancel()

    def advance(self, codec: CausalCodec) -> None:
        """Decode the next group of frames, or finish the audio."""
        # Read before `take`: frames may still arrive in between, but not after the end.
        is_last = self.session.frames.is_over
        for item in self.session.frames.take(self._group_frames - len(self._pending)):
            if not isinstance(item, Frame):
                self._start_segment(codec, item)
                continue
            self._pending.append(item.codes)
            if len(self._pending) == self._group_frames:
                self._decode(codec)
        if is_last and not len(self.session.frames):
            self._end_segment(codec)
            self._add_ready(self._joiner.finish(), is_last=True)

    def _start_segment(self, codec: CausalCodec, start: SegmentStart) -> None:
        if start.is_retry:
            self._restore_snapshot()
        else:
            self._end_segment(codec)
            n_pause = round(start.pause_s * self.spec.sample_rate_hz)
            if self._n_segments or start.pause_s:
                self._add_ready(self._joiner.next_piece(n_pause))
            self._n_segments += 1
            self._place_segment(n_pause)
        if self._buffers_segments:
            self._flush()
            self._snapshot = _SegmentSnapshot(copy.deepcopy(self._joiner), self._ready.shape[1])
        speed = min(max(self._speed * start.speed, MIN_SPEED), MAX_SPEED)
        rate_hz = self.spec.sample_rate_hz
        self.segments[-1] = self.segments[-1]._replace(speed=speed, n_samples=0)
        self._stretcher = None if speed == 1 else StreamStretcher(self.spec.channels, rate_hz, speed)
        # Each segment starts from a fresh codec state, so regenerating one does not change the others.
        self._state = codec.init_state(1)
        pitch = min(max(self._pitch + start.pitch, -MAX_PITCH), MAX_PITCH)
        if pitch and codec.has_pitch_control:
            codec.set_pitch(self._state, pitch)
        self._n_lag = self.spec.latency_samples
        self._group = chain(self._groups, repeat(self._groups[-1]))
        self._group_frames = next(self._group)

    def _place_segment(self, n_pause: int) -> None:
        """Place a new segment after the pause, or inside the overlap with the previous one."""
        last = self.segments[-1] if self.segments else None
        at = n_pause if last is None else last.start_sample + last.n_samples + n_pause
        if last is not None and not n_pause:
            at -= min(self._joiner.overlap_samples, last.n_samples)
        self.segments.append(SoundSpan(at, 0, 1.0, self.spec.hop_samples, self.spec.latency_samples))

    def _end_segment(self, codec: CausalCodec) -> None:
        self._decode(codec)
        if self._stretcher is not None:
            self._join(self._stretcher.finish())
            self._stretcher = None

    def _join(self, samples: np.ndarray) -> None:
        """Append audio to the current segment."""
        sound = self.segments[-1]
        self.segments[-1] = sound._replace(n_samples=sound.n_samples + samples.shape[1])
        self._add_ready(self._joiner.push(samples))

    def _restore_snapshot(self) -> None:
        """Discard the audio of the segment that is regenerated."""
        assert self._snapshot is not None, "a segment was restarted whose audio may have been emitted"
        self._pending = []
        self._joiner = self._snapshot.joiner
        self._ready = self._ready[:, : self._snapshot.n_ready]

    def _decode(self, codec: CausalCodec) -> None:
        if not self._pending:
            return
        with self.session.timeline.span("synthesis"):
            highest = np.array(self.spec.codebook_sizes[: len(self._pending[0])])[:, None] - 1
            indices = np.minimum(np.stack(self._pending, axis=1), highest)
            device = next(codec.parameters()).device
            codes = Codes(torch.from_numpy(indices)[None].to(device), self.spec.name)
            samples = codec.decode(codes, self._state)[0].float().cpu().numpy()
        self._pending = []
        self._group_frames = next(self._group)
        n_dropped = min(self._n_lag, samples.shape[1])
        self._n_lag -= n_dropped
        samples = samples[:, n_dropped:]
        self._join(samples if self._stretcher is None else self._stretcher.push(samples))

    def _add_ready(self, samples: np.ndarray, is_last: bool = False) -> None:
        """Append final samples and emit complete chunks; at the end, the remainder too."""
        self._ready = np.concatenate([self._ready, samples], axis=1)
        if is_last or not self._buffers_segments:
            self._flush(is_last)

    def _flush(self, is_last: bool = False) -> None:
        if self._loudness_lufs is not None:
            if not is_last:
                return
            self._ready = self._normalized(self._ready)
        while self._ready.shape[1] >= (1 if self.n_samples < self._eager_samples else self._chunk_samples):
            self._emit_chunk(min(self._chunk_samples, self._ready.shape[1]))
        if is_last:
            if self._ready.shape[1]:
                self._emit_chunk(self._ready.shape[1])
            if self._marker is not None:
                self._emit(self._marker.finish())
            self.pieces.finish()

    def _emit_chunk(self, n_samples: int) -> None:
        piece, self._ready = self._ready[:, :n_samples].copy(), self._ready[:, n_samples:]
        self._emit(piece if self._marker is None else self._marker.push(piece))

    def _emit(self, piece: np.ndarray) -> None:
        if not piece.shape[1]:
            return
        if self._first_s is None:
            self._first_s = time.monotonic()
            self.session.timeline.add("first audio", 0.0, self.session.timeline.elapsed_s)
        self.n_samples += piece.shape[1]
        self.pieces.put(Waveform(piece, self.spec.sample_rate_hz))

    def _normalized(self, samples: np.ndarray) -> np.ndarray:
        if not samples.shape[1]:
            return samples
        assert self._loudness_lufs is not None
        return normalize_loudness(Waveform(samples, self.spec.sample_rate_hz), self._loudness_lufs).samples


class DecodeStage:
    """Submits a session's frames to the codec thread."""

    name = "synthesis"

    def __init__(self, codec_worker: CodecWorker, chunk_samples: int, watermark_key: str | None = None):
        self._worker, self._chunk_samples, self._watermark_key = codec_worker, chunk_samples, watermark_key

    def run(self, request: SpeechRequest, session: Session, timeline: Trace) -> SpeechDecodeTask:
        synthesis = SpeechDecodeTask(
            session, self._worker.codec.spec, chunk_samples=self._chunk_samples, latency=request.latency,
            loudness_lufs=request.loudness_lufs, speed=request.speed, pitch=request.pitch,
            buffers_segments=request.buffers_segments, watermark_key=self._watermark_key,
        )  # fmt: skip

        def wake() -> None:
            # Most frames complete no group, and a needless wake-up takes the GIL from the busy threads.
            if synthesis.is_ready:
                self._worker.wake()

        session.frames.on_item = synthesis.pieces.on_room = wake
        self._worker.add(synthesis)
        return synthesis
