"""Opens folders of recordings as training segments and validation clips."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from backend.codes import CodecSpec
from backend.data.audio_cache import AudioCache, CachedClip, cache_folder
from backend.data.augment import Augmentation
from backend.data.manifest import read_clips
from backend.data.segments import SegmentSampler
from backend.data.splits import HeldOut
from backend.errors import BadSettings
from backend.training.codec.config import DataBlock, PhaseBlock

logger = logging.getLogger(__name__)
Progress = Callable[[int, int], None]


def open_dataset(
    block: DataBlock, spec: CodecSpec, progress: Progress | None = None
) -> tuple[list[CachedClip], list[CachedClip]]:
    """Returns disjoint training and validation clips, after decoding those that are not cached yet."""
    if not block.dir:
        raise BadSettings("There is no training data: data.dir is empty. Set data.dir=FOLDER.")
    heldout = HeldOut(block.heldout_speakers, block.heldout_files)
    learned: list[CachedClip] = []
    kept_out: list[CachedClip] = []
    for folder in block.dir:
        clips = read_clips(folder)
        cache = AudioCache(
            cache_folder(block.cache, folder, spec.sample_rate_hz, spec.channels), spec.sample_rate_hz, spec.channels
        )
        cache.build(clips, progress)
        if cache.report:
            logger.warning("%d clips of '%s' were skipped, for example: %s", len(cache.report), folder.name,
                           next(iter(cache.report.items())))  # fmt: skip
        ours, theirs = heldout.split(clips)
        learned += cache.clips(ours)
        kept_out += cache.clips(theirs)
    if block.audition_dir is not None:
        clips = read_clips(block.audition_dir)
        folder = cache_folder(block.cache, block.audition_dir, spec.sample_rate_hz, spec.channels)
        cache = AudioCache(folder, spec.sample_rate_hz, spec.channels)
        cache.build(clips, progress)
        kept_out = cache.clips(clips)
    return learned, _spread(kept_out, block.n_audition_clips)


def _spread(clips: list[CachedClip], n: int) -> list[CachedClip]:
    """Returns at most `n` clips, evenly spaced, so that they are not all from one speaker."""
    if len(clips) <= n:
        return clips
    return [clips[round(i)] for i in np.linspace(0, len(clips) - 1, n)]


def build_sampler(
    clips: list[CachedClip], block: DataBlock, phase: PhaseBlock, spec: CodecSpec, seed: int
) -> SegmentSampler:
    """Builds a sampler of segments of whole codec frames."""
    n_frames = max(round(phase.segment_s * spec.frame_rate_hz), 1)
    augmentation = Augmentation(**block.augment.model_dump(), rate_hz=spec.sample_rate_hz)
    return SegmentSampler(clips, n_frames * spec.hop_samples, phase.batch, seed, augmentation)
