"""A voice fitted to a recording: what the speaker encoder hears at once, made better by a few gradient steps.

The encoder has to know a voice it never heard from a few thousand others. The language model itself says how likely the
codes of a recording are in a voice, so the vector that makes them likeliest is looked for, beginning where the encoder
points, and the fast stack, which draws what a voice sounds like rather than what it says, learns the voice by heart. The
slow stack stays: it knows how to read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from backend.lm.dual_ar import FAST, DualAR
from backend.lm.generate import generate
from backend.lm.sampling_options import SamplingOptions
from backend.lm.teacher_forcing import residual_logits, states
from backend.lm.text_pointer import ADVANCE, pointed_prompt, pointer_path, whole_utterance

LEARNING_RATE, FAST_LEARNING_RATE = 0.1, 5e-4
READING = SamplingOptions(temperature=0.3, top_p=0.8, repetition_penalty=1.0, pointer_temperature=0.3)
# A reading may take this many times as long as the recording, and be this far from it.
LONGEST = 2
OTHER_WORDS = 1.42  # ten utterances: 1.18 to 1.29 for the words that are heard, 1.42 to 1.59 for others


@dataclass(frozen=True, slots=True, eq=False)
class AdaptationClip:
    """`codes` [K, T] of the spoken `symbols` [P], silences before and after included; `place` [T] is the symbol of each
    frame."""

    symbols: np.ndarray
    codes: np.ndarray
    place: np.ndarray

    def first(self, n_frames: int) -> AdaptationClip:
        """The first `n_frames` of it, if it has more, and the symbols spoken in them."""
        place = self.place[:n_frames]
        n_symbols = len(self.symbols) if len(self.place) <= n_frames else int(place[-1]) + 1
        return AdaptationClip(self.symbols[:n_symbols], self.codes[:, :n_frames], place)


@dataclass(frozen=True, slots=True, eq=False)
class AdaptedVoice:
    """The `vector` [D] that the slow stack is told, and the tensors of the voice's own fast stack by their names."""

    vector: Tensor
    fast: dict[str, Tensor]


def max_advance(lm: DualAR) -> int:
    """By how many symbols the pointer of `lm` may move after a frame."""
    return dict(lm.spec.aux)[ADVANCE] - 1


@torch.inference_mode()
def force_align(lm: DualAR, symbols: np.ndarray, codes: np.ndarray, conditioning: Tensor) -> np.ndarray | None:
    """The symbol [T] of each frame of `codes` [K, T]; None if these are other words.

    The model says `symbols` itself, where the pointer tells what is said when, and its frames are laid beside the
    recording's by dynamic time warping, as the model embeds them: 16 ms from where a teacher's durations begin a
    symbol, in the mean over ten utterances of a voice never heard.
    """
    tokens = torch.zeros(lm.spec.n_rows, len(symbols), dtype=torch.long)
    tokens[0] = torch.from_numpy(symbols)
    prompt, pointer = pointed_prompt(tokens, symbols, lm.config.side_sizes, conditioning)
    said = generate(lm, [prompt], READING, seeds=[0], max_new_tokens=LONGEST * codes.shape[1], pointers=[pointer])[0]
    if said.codes.shape[1] < 2:
        return None
    places = np.array(pointer.path[: said.codes.shape[1]], np.int64)
    beside, distance = dtw(_heard(lm, codes), _heard(lm, said.codes.numpy()))
    return places[beside] if distance < OTHER_WORDS else None


def _heard(lm: DualAR, codes: np.ndarray) -> np.ndarray:
    """Frames [T, D] as the model embeds them, less what all of a recording share."""
    offsets = torch.arange(len(codes))[:, None] * lm.config.codebook_size
    x = lm.codebook_embeddings(torch.from_numpy(codes.astype(np.int64)) + offsets).float().sum(dim=0).numpy()
    x = x - x.mean(axis=0)
    return x / max(float(x.std()), 1e-9)


def dtw(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, float]:
    """For each row of `one` [T, D] the row of `other` [S, D] beside it, which never goes back, and their mean squared
    distance a dimension."""
    near = np.square(one).sum(1)[:, None] - 2 * one @ other.T + np.square(other).sum(1)[None]
    cost = np.full((len(one) + 1, len(other) + 1), np.inf)
    cost[0, 0] = 0
    for i, row in enumerate(near.tolist()):
        above, left, here = cost[i].tolist(), np.inf, cost[i + 1]
        for j, distance in enumerate(row):
            left = distance + min(above[j], above[j + 1], left)
            here[j + 1] = left
    i, j = len(one), len(other)
    beside, n_pairs = np.zeros(len(one), np.int64), 0
    while i and j:
        beside[i - 1] = j - 1  # where a row has several, the first
        n_pairs += 1
        _, i, j = min((cost[i - 1, j - 1], i - 1, j - 1), (cost[i - 1, j], i - 1, j), (cost[i, j - 1], i, j - 1))
    return beside, float(cost[-1, -1]) / n_pairs / one.shape[1]


def adapt_voice(lm: DualAR, start: Tensor, recording: AdaptationClip, n_steps: int) -> AdaptedVoice:
    """The voice in which `lm` finds the recording likeliest after `n_steps`, beginning at the vector `start` [D].

    `lm` holds float32 weights outside of inference mode, and keeps them.
    """
    with torch.inference_mode(False), torch.enable_grad():
        lm = lm.with_own_fast()
        symbols, spec = recording.symbols, lm.spec
        tokens, side = map(torch.from_numpy, whole_utterance(
            symbols, recording.codes, pointer_path(recording.place, len(symbols), max_advance(lm)).place,
            semantic_begin_id=spec.semantic_begin_id, n_ahead=spec.n_side - 2, max_spent=lm.config.side_sizes[-1] - 1,
        ))  # fmt: skip
        codes = torch.from_numpy(recording.codes.T.astype(np.int64))
        vector = start.detach().clone().float().requires_grad_(True)
        fast = [p.requires_grad_(True) for name, p in lm.named_parameters() if name.startswith(FAST)]
        optimizer = torch.optim.Adam(
            [{"params": [vector], "lr": LEARNING_RATE}, {"params": fast}], lr=FAST_LEARNING_RATE
        )
        for _ in range(n_steps):
            x, normed = states(
                lm, tokens[None], None, vector[None], side[None], is_scaled=lm.config.family == "phonogram"
            )
            x, normed = x[0, len(symbols) - 1 :], normed[0, len(symbols) - 1 :]
            main = F.cross_entropy(lm.legal_logits(normed)[:, : spec.n_semantic], codes[:, 0])
            residual = residual_logits(lm, lm.handed_on(x, normed), codes)
            loss = main + F.cross_entropy(residual.transpose(1, 2), codes[:, 1:])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return AdaptedVoice(vector.detach().clone(), {name: tensor.detach() for name, tensor in lm.fast_tensors.items()})
