"""Making the shipped soundfont: FluidR3 cut to the instruments used, its samples as Ogg Vorbis."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import soundfile

from backend.music.instruments import DRUM_KEYS, INSTRUMENTS
from backend.music.soundfont import Sample, SoundFont

COMMENT = (
    "Cut from FluidR3Mono_GM (C) 2014-2017 Michael Cowgill and FluidR3_GM (C) 2000-2002, 2008 Frank Wen; MIT license."
)
# Cymbals of the original ring for up to 9 s.
MAX_ONE_SHOT_S, FADE_S = 3.0, 0.8
# Interpolation reads a little past the loop.
AFTER_LOOP_SAMPLES = 64
SAMPLE_MODES = 54


def wanted_keys() -> dict[tuple[int, int], range | frozenset[int]]:
    """(bank, program) of every instrument, with the keys it may play."""
    return {(one.bank, one.program): frozenset(DRUM_KEYS) if one.is_drums else one.keys for one in INSTRUMENTS.values()}


def cut_soundfont(zones: SoundFont, originals: SoundFont | None = None, compression: float = 0.6) -> SoundFont:
    """`zones` cut to the instruments of this package, samples encoded anew.

    `originals`: a font with the same samples as PCM, which are taken where name and length agree, so that nothing is
    coded twice. `compression`: 0 (largest) to 1 (smallest).
    """
    font = zones.cut(wanted_keys())
    looped = {
        zone.target
        for instrument in font.instruments
        for zone in instrument.zones
        if any(int(kind) == SAMPLE_MODES and int(amount) & 1 for kind, amount in zone.generators)
        or any(
            int(kind) == SAMPLE_MODES and int(amount) & 1
            for other in instrument.zones
            if other.target is None
            for kind, amount in other.generators
        )
    }
    pcm = {sample.name: sample for sample in originals.samples} if originals else {}
    samples = []
    for i, sample in enumerate(font.samples):
        content = sample.pcm()
        twin = pcm.get(sample.name)
        if twin is not None and len(twin.content) == 2 * len(content) and twin.rate_hz == sample.rate_hz:
            content = twin.pcm()
        samples.append(_encoded(sample, _shortened(sample, content, i in looped), compression))
    return replace(font, samples=tuple(samples))


def _shortened(sample: Sample, content: np.ndarray, is_looped: bool) -> np.ndarray:
    if is_looped:
        return content[: sample.loop_end + AFTER_LOOP_SAMPLES]
    n_most, n_fade = round(MAX_ONE_SHOT_S * sample.rate_hz), round(FADE_S * sample.rate_hz)
    if len(content) <= n_most:
        return content
    fade = np.ones(n_most, np.float32)
    fade[-n_fade:] = np.linspace(1, 0, n_fade) ** 2
    return (content[:n_most] * fade).round().astype(np.int16)


def _encoded(sample: Sample, content: np.ndarray, compression: float) -> Sample:
    target = io.BytesIO()
    with soundfile.SoundFile(
        target, "w", samplerate=sample.rate_hz, channels=1, format="OGG", subtype="VORBIS",
        compression_level=compression,
    ) as file:  # fmt: skip
        for start in range(0, len(content), 1 << 16):
            file.write(content[start : start + (1 << 16)])
    n = len(content)
    return replace(
        sample, content=target.getvalue(), is_compressed=True, loop_start=min(sample.loop_start, n),
        loop_end=min(sample.loop_end, n),
    )  # fmt: skip
