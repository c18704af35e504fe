"""Encode a speech corpus to token shards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from backend.audio.files import read_audio
from backend.codec.base import CausalCodec
from backend.data.frame_alignment import frame_alignment
from backend.data.token_shards import NO_SYMBOL, CodedUtterance, ShardWriter
from backend.data.utterances import Utterance
from backend.errors import BadAudio, LimitExceeded
from backend.pipeline.codec.stream import convert_for_codec, frames_for

SHARD_UTTERANCES = 256
MAX_DURATION_S = 60.0


@dataclass(slots=True)
class TokenizeReport:
    """Counts of a run. `skipped` maps unreadable utterances to the reason."""

    n_written: int = 0
    n_present: int = 0
    n_aligned: int = 0
    duration_s: float = 0.0
    skipped: dict[str, str] = field(default_factory=dict)


def tokenize_corpus(
    utterances: Sequence[Utterance], codec: CausalCodec, writer: ShardWriter,
    progress: Callable[[int, int], None] | None = None,
) -> TokenizeReport:  # fmt: skip
    """Encode every utterance that `writer` does not hold yet; an interrupted run can be resumed.

    Unreadable files are reported, not raised.
    """
    waiting = [item for item in utterances if item.id not in writer.written]
    report = TokenizeReport(n_present=len(utterances) - len(waiting))
    for start in range(0, len(waiting), SHARD_UTTERANCES):
        coded = []
        for number, item in enumerate(waiting[start : start + SHARD_UTTERANCES], start=start):
            if progress is not None:
                progress(number, len(waiting))
            try:
                coded.append(code_utterance(item, codec))
            except (BadAudio, LimitExceeded) as error:
                report.skipped[item.id] = str(error)
        if coded:
            writer.write(coded)
        report.n_written += len(coded)
        report.n_aligned += sum(item.is_aligned for item in coded)
        report.duration_s += sum(item.n_frames for item in coded) / codec.spec.frame_rate_hz
    if progress is not None:
        progress(len(waiting), len(waiting))
    return report


def code_utterance(utterance: Utterance, codec: CausalCodec) -> CodedUtterance:
    """Encode one utterance, padded for the codec's latency. Raises `BadAudio` and `LimitExceeded`."""
    spec = codec.spec
    audio = read_audio(utterance.path, max_duration_s=MAX_DURATION_S)
    audio = convert_for_codec(replace(audio, rate_hz=round(audio.rate_hz * utterance.factor)), spec)
    n_frames = frames_for(audio.n_samples, spec)
    samples = np.zeros((1, spec.channels, n_frames * spec.hop_samples), np.float32)
    samples[0, :, : audio.n_samples] = audio.samples
    with torch.inference_mode():
        device = next(codec.parameters()).device
        codes = codec.encode(torch.from_numpy(samples).to(device)).indices[0].cpu().numpy().astype(np.int16)
    alignment = np.full(n_frames, NO_SYMBOL, np.int16)
    if utterance.durations:
        alignment = frame_alignment(
            utterance.durations, n_frames, utterance.unit, first_sample=utterance.first_sample,
            hop_samples=spec.hop_samples, latency_samples=spec.latency_samples, rate_hz=spec.sample_rate_hz,
        )  # fmt: skip
    return CodedUtterance(utterance.id, utterance.text, utterance.symbols, utterance.speaker, codes, alignment)
