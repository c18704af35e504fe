"""Stems to a mix: levels by role, places in the stereo image, a room, tone, loudness and a limiter.

Everything but the limiter is a linear filter of each stem, and the limiter's gain is one curve for all of them, so the
finished stems add up to the mix.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import torch

from backend.audio.loudness import loudness_lufs
from backend.audio.waveform import Waveform
from backend.errors import BadAudio

ROLE_LEVEL_DB = {
    "melody": 0.0,
    "counter": -5.0,
    "line": -7.0,
    "chords": -6.0,
    "pad": -10.0,
    "bass": -2.5,
    "drums": -3.0,
    "other": -3.0,
}
ROLE_PAN = {
    "melody": 0.06,
    "counter": -0.4,
    "line": 0.4,
    "chords": -0.28,
    "pad": 0.3,
    "bass": 0.0,
    "drums": 0.0,
    "other": 0.0,
}
ROLE_SEND_DB = {
    "melody": 0.0,
    "counter": 1.0,
    "line": 1.0,
    "chords": 0.0,
    "pad": 2.0,
    "bass": -12.0,
    "drums": -5.0,
    "other": 0.0,
}
LOOKAHEAD_S = 0.005
BLOCK_S = 0.4


@dataclass(frozen=True, slots=True)
class MixOptions:
    """`room_s`: reverberation time (-60 dB); `room_db`: its level below the dry sound; `low_db`, `high_db`: shelves at
    200 Hz and 4 kHz; `level_jitter_db`: how far stems stray from their levels (training only); `width`: 0 is mono."""

    room_s: float = 1.1
    room_db: float = -14.0
    low_db: float = 0.0
    high_db: float = 0.0
    level_jitter_db: float = 0.0
    width: float = 1.0
    loudness_lufs: float = -16.0
    peak_limit_db: float = -1.0
    seed: int = 0

    @classmethod
    def random(cls, rng: Random, loudness_lufs: float | None = None) -> MixOptions:
        """Other rooms, tones and levels for each seed: variety for training."""
        return cls(
            room_s=math.exp(rng.uniform(math.log(0.25), math.log(2.8))), room_db=rng.uniform(-26, -7),
            low_db=rng.gauss(0, 2), high_db=rng.gauss(0, 2.5), level_jitter_db=2.5, width=rng.uniform(0, 1.2),
            loudness_lufs=rng.uniform(-24, -13) if loudness_lufs is None else loudness_lufs, seed=rng.randrange(2**31),
        )  # fmt: skip


@dataclass(frozen=True)
class Mix:
    """`stems` are empty where only the mix was asked for."""

    mix: Waveform
    stems: tuple[Waveform, ...]


def mix_stems(stems: Sequence[Waveform], roles: Sequence[str], options: MixOptions, has_stems: bool = False) -> Mix:
    """Mono stems of one rate and length as a stereo mix. Raises `BadAudio` for stems that do not fit together."""
    if not stems or len({(s.rate_hz, s.n_samples, s.n_channels) for s in stems}) != 1 or stems[0].n_channels != 1:
        raise BadAudio("The stems differ in rate, length or channels; expected mono stems of one rate and length.")
    rate_hz, n_samples = stems[0].rate_hz, stems[0].n_samples
    rng = Random(options.seed)
    gains, pans, sends = [], [], []
    for stem, role in zip(stems, roles, strict=True):
        gains.append(stem_gain(stem, role, rng.gauss(0, 1) * options.level_jitter_db))
        pan, send = pan_and_send(role, options)
        pans.append(pan)
        sends.append(send)
    room = Room(options, rate_hz, n_samples)
    buses = np.zeros((3, n_samples), np.float32)
    for stem, gain, pan, send in zip(stems, gains, pans, sends, strict=True):
        buses += bus_gains(gain, pan, send) * stem.samples
    mixed = room(buses)
    finish = _finishing_gain(Waveform(mixed, rate_hz), options)
    finished: tuple[Waveform, ...] = ()
    if has_stems:
        finished = tuple(
            Waveform(room(bus_gains(one, pan, send) * stem.samples) * finish, rate_hz)
            for stem, one, pan, send in zip(stems, gains, pans, sends, strict=True)
        )
    return Mix(Waveform(mixed * finish, rate_hz), finished)


def stem_gain(stem: Waveform, role: str, offset_db: float = 0.0) -> float:
    """The factor that brings a stem to the level of its role."""
    return 10 ** ((ROLE_LEVEL_DB[role] + offset_db - 20) / 20) / max(active_rms(stem), 1e-4)


def pan_and_send(role: str, options: MixOptions) -> tuple[float, float]:
    """The place of a role in the image, -1 (left) to 1, and the factor of what goes to the room."""
    pan = max(-1.0, min(1.0, ROLE_PAN[role] * options.width))
    return pan, 10 ** ((ROLE_SEND_DB[role] + options.room_db) / 20)


def bus_gains(gain: float, pan: float, send: float) -> np.ndarray:
    """Gains [3, 1] to left, right and the room, at constant power."""
    angle = (pan + 1) * math.pi / 4
    return np.array([[gain * math.cos(angle)], [gain * math.sin(angle)], [gain * send]], np.float32)


def active_rms(stem: Waveform) -> float:
    """The RMS of the blocks of 0.4 s in which the stem sounds (within 30 dB of its loudest)."""
    n = max(1, round(BLOCK_S * stem.rate_hz))
    whole = stem.samples[0, : stem.n_samples // n * n].reshape(-1, n)
    if not len(whole):
        whole = stem.samples
    power = (whole.astype(np.float32) ** 2).mean(axis=1)
    loud = power[power > power.max(initial=0) * 1e-3]
    return float(np.sqrt(loud.mean())) if len(loud) else 0.0


class Room:
    """Tone and reverberation as one product in the frequency domain: [3, N] (left, right, send) to [2, N]."""

    def __init__(self, options: MixOptions, rate_hz: int, n_samples: int):
        self.n_samples = n_samples
        n_tail = max(1, round(min(options.room_s, 3.5) * rate_hz))
        generator = torch.Generator().manual_seed(options.seed)
        noise = torch.randn(2, n_tail, generator=generator)
        seconds = torch.arange(n_tail) / rate_hz
        # Early sound is a little later than the dry one; high tones die sooner.
        early = (seconds > 0.012).float()
        impulse = noise * early * 10 ** (-3 * seconds / max(options.room_s, 0.05))
        smooth = torch.nn.functional.avg_pool1d(impulse[None], 5, 1, 2)[0]
        fade = (seconds / max(options.room_s, 0.05)).clamp(0, 1)
        impulse = impulse * (1 - fade) + smooth * fade * 1.6
        impulse = impulse / impulse.pow(2).sum(-1, keepdim=True).sqrt().clamp_min(1e-6)
        self.n_fft = fast_length(n_samples + n_tail)
        frequency = torch.fft.rfftfreq(self.n_fft, 1 / rate_hz)
        self.tone = 10 ** (
            (options.low_db * _shelf(200 / frequency.clamp_min(1.0)) + options.high_db * _shelf(frequency / 4000)) / 20
        )
        # Rumble below hearing would only cost headroom.
        self.tone = self.tone * (frequency / 25).pow(2) / (1 + (frequency / 25).pow(2))
        wet_tone = (frequency / 180).pow(2) / (1 + (frequency / 180).pow(2))
        self.response = torch.fft.rfft(impulse, self.n_fft) * wet_tone

    def __call__(self, buses: np.ndarray) -> np.ndarray:
        spectra = torch.fft.rfft(torch.from_numpy(buses), self.n_fft)
        mixed = (spectra[:2] + spectra[2:] * self.response) * self.tone
        return torch.fft.irfft(mixed, self.n_fft)[:, : self.n_samples].numpy()


def _shelf(ratio: torch.Tensor) -> torch.Tensor:
    return ratio.pow(2) / (1 + ratio.pow(2))


def fast_length(n: int) -> int:
    """The next length of the form 2^a 3^b 5^c, for which the transform is quick."""
    best = 1 << (n - 1).bit_length()
    for odd in (3, 5, 9, 15, 27, 45, 75, 81, 125, 135, 225):
        power = max(0, math.ceil(math.log2(n / odd)))
        if odd << power >= n:
            best = min(best, odd << power)
    return best


def _finishing_gain(mixed: Waveform, options: MixOptions) -> np.ndarray:
    """Gain [1, N]: one factor to the loudness wanted, then a limiter that looks 5 ms ahead."""
    lufs = loudness_lufs(mixed)
    if lufs == -math.inf:
        return np.ones((1, mixed.n_samples), np.float32)
    gain = 10 ** ((options.loudness_lufs - lufs) / 20)
    limit = 10 ** (options.peak_limit_db / 20)
    peaks = torch.from_numpy(np.abs(mixed.samples).max(axis=0) * np.float32(gain))
    half = max(1, round(LOOKAHEAD_S * mixed.rate_hz))
    return (limiter_gain(peaks, limit, half) * gain)[None].numpy()


def limiter_gain(peaks: torch.Tensor, limit: float, half: int) -> torch.Tensor:
    """The gain [N] that keeps `peaks` [N] below `limit`; each depends on the 2 * `half` peaks on either side of it."""
    wanted = (limit / peaks.clamp_min(1e-9)).clamp_max(1.0)
    if float(wanted.min()) >= 1.0:
        return torch.ones_like(wanted)
    # The smallest gain within reach, then its mean over as much: never above what any peak needs.
    lowest = -_max_around(-wanted, half)
    padded = torch.nn.functional.pad(lowest[None, None], (half + 1, half), mode="replicate")[0, 0]
    total = padded.double().cumsum(0)
    width = 2 * half + 1
    return ((total[width:] - total[:-width]) / width).float()


def _max_around(values: torch.Tensor, half: int) -> torch.Tensor:
    """The largest value within `half` places of each, by doubling windows."""
    width = 2 * half + 1
    padded = torch.nn.functional.pad(values[None, None], (half, half), value=-math.inf)[0, 0]
    done = 1
    while done < width:
        step = min(done, width - done)
        padded = torch.maximum(padded[: len(padded) - step], padded[step:])
        done += step
    return padded
