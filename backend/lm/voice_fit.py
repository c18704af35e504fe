"""A voice's vector fitted to a recording: what the speaker encoder hears at once, made better by a few gradient steps.

The encoder has to know a voice it never heard from a few thousand others. The language model itself says how likely the
codes of a recording are in a voice, so the vector that makes them likeliest is looked for, beginning where the encoder
points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from backend.lm.base import Prompt
from backend.lm.dual_ar import DualAR
from backend.lm.pointer import ADVANCE, Pointer
from backend.lm.pointer_path import path_sides, pointer_path
from backend.lm.voice_prompt import pointed_prompt

LEARNING_RATE = 0.1
# A reading whose own pace ends this far from the recording's end is of other words.
MOST_STRETCH = 1.6


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """`codes` [K, T] of the spoken `symbols` [P], silences before and after included; `place` [T] is the symbol of each
    frame."""

    symbols: np.ndarray
    codes: np.ndarray
    place: np.ndarray


@torch.inference_mode()
def read_along(lm: DualAR, symbols: np.ndarray, codes: np.ndarray, conditioning: Tensor) -> np.ndarray | None:
    """The symbol [T] of each frame of `codes` [K, T], as a pointer goes that hears them; None if these are other words.

    Each frame moves the pointer by what the model expects on average; the remainder waits for the next frame. Whoever
    speaks slower than the model expects is read again at their own pace.
    """
    pace = 1.0
    place, reached = _read(lm, symbols, codes, conditioning, pace)
    stretch = (len(symbols) - 1) / max(reached, 1e-3)
    if not 1 / MOST_STRETCH <= stretch <= MOST_STRETCH:
        return None
    if abs(len(symbols) - 1 - reached) > 1:
        place, _ = _read(lm, symbols, codes, conditioning, pace * stretch)
    return place


def _read(
    lm: DualAR, symbols: np.ndarray, codes: np.ndarray, conditioning: Tensor, pace: float
) -> tuple[np.ndarray, float]:
    """The places [T], and how far the model would have gone, in symbols."""
    side_sizes, spec = lm.config.side_sizes, lm.spec
    tokens = torch.zeros(spec.n_rows, len(symbols), dtype=torch.long)
    tokens[0] = torch.from_numpy(symbols)
    prompt, pointer = pointed_prompt(tokens, symbols, side_sizes, conditioning)
    frames = torch.from_numpy(np.concatenate([codes[:1] + spec.semantic_begin_id, codes]).T.astype(np.int64))
    state = lm.init_state(1, len(symbols) + len(frames))
    out = lm.prefill(Prompt(prompt.tokens, prompt.conditioning, prompt.side), state, 0)
    moves = torch.arange(dict(spec.aux)[ADVANCE], dtype=torch.float32)
    last, waiting, reached = len(symbols) - 1, 0.0, 0.0
    for frame in frames:
        step = pace * float((out.aux[ADVANCE][0].float().softmax(dim=-1) * moves).sum())
        reached += step / pace
        waiting += step
        whole = min(int(waiting), last - pointer.position)
        waiting = min(waiting - whole, 1.0)
        pointer.advance(whole)
        if pointer.n_spent >= Pointer(symbols, pointer.n_side).longest_stay_frames:
            pointer.n_spent -= 1  # the pointer is held here: only what is heard moves it
        side = torch.from_numpy(pointer.side())[None]
        out = lm.step(frame[None], state, [0], side)
    return np.array(pointer.path, np.int64), reached


def fit_voice(
    lm: DualAR, start: Tensor, recording: Recording, n_steps: int, *, max_advance: int,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:  # fmt: skip
    """The vector [D] in which `lm` finds the recording likeliest after `n_steps`, beginning at `start` [D].

    `lm` holds float32 weights outside of inference mode, and keeps them.
    """
    with torch.inference_mode(False), torch.enable_grad():
        tokens, side, at, codes = _as_learned(lm, recording, max_advance)
        vector = start.detach().clone().float().requires_grad_(True)
        optimizer = torch.optim.Adam([vector], lr=LEARNING_RATE)
        for step in range(n_steps):
            x, normed = lm.states(tokens, None, vector[None], side, is_scaled=lm.config.era == "phonogram")
            x, normed = x[0, at], normed[0, at]
            main = F.cross_entropy(lm.legal_logits(normed)[:, : lm.spec.n_semantic], codes[:, 0])
            residual = lm.residual_logits(lm.handed_on(x, normed), codes)
            loss = main + F.cross_entropy(residual.transpose(1, 2), codes[:, 1:])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if progress is not None:
                progress(step + 1, n_steps)
    return vector.detach().clone()


def _as_learned(lm: DualAR, recording: Recording, max_advance: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Tokens [1, R, S], side ids [1, S, n_side], the T positions that are followed by a frame, codes [T, K]."""
    symbols, codes, spec = recording.symbols, recording.codes.astype(np.int64), lm.spec
    n_text, T = len(symbols), codes.shape[1]
    first, last = n_text - 1, n_text - 1 + T
    tokens = np.zeros((1, spec.n_rows, last), np.int64)
    tokens[0, 0, :n_text] = symbols
    tokens[0, 0, n_text:] = spec.semantic_begin_id + codes[0, :-1]
    tokens[0, 1:, n_text:] = codes[:, :-1]
    side = np.zeros((1, last, spec.n_side), np.int64)
    place = pointer_path(recording.place, n_text, max_advance).place
    side[0, first:last] = path_sides(symbols, place, spec.n_side - 2, lm.config.side_sizes[-1] - 1)
    return torch.from_numpy(tokens), torch.from_numpy(side), torch.arange(first, last), torch.from_numpy(codes.T.copy())
