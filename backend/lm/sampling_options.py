"""Sampling options of one row: temperature, top-p, top-k, min-p, penalties."""

from __future__ import annotations

from dataclasses import dataclass, replace

from backend.errors import BadSettings
from backend.lm.spec import ModelFamily

# Window, in frames, of the repetition penalty and of repetition-aware sampling (RAS).
REPETITION_FRAMES = 16
RAS_FRAMES = 10
MIN_TEMPERATURE = 1e-5
# More than any vocabulary size.
NO_TOP_K = 1 << 20


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """Sampling options of one row. `top_k` or `min_p` None: no limit. `ras` None: the model family's default.

    The penalty applies to ids of the last 16 frames, separately for each codebook; `ras` resamples with a higher
    temperature if a main id occurred in the last 10. A temperature of 0 is greedy. `min_p` drops ids less likely than
    that fraction of the likeliest. Raises `BadSettings` for values out of range.
    """

    temperature: float = 0.8
    top_p: float = 0.8
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.1
    ras: bool | None = None
    pointer_temperature: float = 0.8

    def __post_init__(self) -> None:
        bounds = {"temperature": (0, 5), "top_p": (0, 1), "min_p": (0, 1), "repetition_penalty": (0.5, 4)}
        bounds |= {"pointer_temperature": (0, 5), "top_k": (1, 1 << 20)}
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if value is None and name in ("top_k", "min_p"):
                continue
            # Written so that NaN fails.
            if not low <= value <= high:
                raise BadSettings(f"{name} is {value}; it takes {low} to {high}. Choose a value in that range.")

    @classmethod
    def greedy(cls) -> SamplingOptions:
        """Returns options that always pick the likeliest id."""
        return cls(temperature=0.0, top_p=1.0, top_k=1, repetition_penalty=1.0, ras=False, pointer_temperature=0.0)

    @classmethod
    def for_family(cls, family: ModelFamily) -> SamplingOptions:
        """Returns the defaults published for a model family."""
        if family == "s2":
            return cls(top_k=30, repetition_penalty=1.0)
        if family == "phonogram":
            # WER of the built-in voice over 40 sentences: 17 % at 0.5, 25 % at 0.8.
            return cls(temperature=0.5, repetition_penalty=1.0)
        return cls()

    @property
    def is_greedy(self) -> bool:
        return self.temperature == 0 or self.top_k == 1

    @property
    def pointer(self) -> SamplingOptions:
        """Options for sampling the pointer's moves."""
        return replace(PLAIN, temperature=self.pointer_temperature)

    @property
    def limits(self) -> tuple[float, float, float, float]:
        """Temperature, top-p, top-k and min-p; an unset limit has a value without effect."""
        # Rounded cumulative sums can exceed 1; a top-p of 1 must still drop nothing.
        top_p = self.top_p if self.top_p < 1 else 2.0
        top_k = 1 if self.is_greedy else self.top_k or NO_TOP_K
        return max(self.temperature, MIN_TEMPERATURE), top_p, top_k, self.min_p or 0.0

    def uses_ras(self, family: ModelFamily) -> bool:
        return family == "s2" if self.ras is None else self.ras


PLAIN = SamplingOptions(temperature=1.0, top_p=1.0, repetition_penalty=1.0, ras=False)
