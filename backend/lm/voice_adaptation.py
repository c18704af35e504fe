"""Voice adaptation: improves a speaker embedding and the fast stack on a recording with a few gradient steps.

The encoder has to place an unseen voice among a few thousand others. The language model gives the likelihood of a
recording's codes under an embedding, so the embedding is optimized from the encoder's estimate. The fast stack, which
predicts how a voice sounds rather than what it says, is trained on the voice. The slow stack is unchanged.
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
# A generated reading may be this many times longer than the recording ...
MAX_LENGTH_RATIO = 2
# ... and have at most this distance from it. Ten utterances: 1.18 to 1.29 with the right words, 1.42 to 1.59 otherwise.
MAX_DISTANCE = 1.42


@dataclass(frozen=True, slots=True, eq=False)
class AdaptationClip:
    """`codes` [K, T] of the spoken `symbols` [P], with silence before and after; `place` [T] is each frame's symbol."""

    symbols: np.ndarray
    codes: np.ndarray
    place: np.ndarray

    def first(self, n_frames: int) -> AdaptationClip:
        """Returns the first `n_frames` and the symbols spoken in them."""
        place = self.place[:n_frames]
        n_symbols = len(self.symbols) if len(self.place) <= n_frames else int(place[-1]) + 1
        return AdaptationClip(self.symbols[:n_symbols], self.codes[:, :n_frames], place)


@dataclass(frozen=True, slots=True, eq=False)
class AdaptedVoice:
    """The speaker embedding `vector` [D], and the tensors of the voice's own fast stack by name."""

    vector: Tensor
    fast: dict[str, Tensor]


def max_advance(lm: DualAR) -> int:
    """Returns the number of symbols the pointer of `lm` may move after a frame."""
    return dict(lm.spec.aux)[ADVANCE] - 1


@torch.inference_mode()
def force_align(lm: DualAR, symbols: np.ndarray, codes: np.ndarray, conditioning: Tensor) -> np.ndarray | None:
    """Returns the symbol [T] of each frame of `codes` [K, T], or None if the recording has other words.

    The model speaks `symbols` itself, with the pointer giving each frame's symbol; its frames are aligned with the
    recording's by dynamic time warping over the model's embeddings. Mean distance from a teacher's symbol onsets: 16 ms
    over ten utterances of an unseen voice.
    """
    tokens = torch.zeros(lm.spec.n_rows, len(symbols), dtype=torch.long)
    tokens[0] = torch.from_numpy(symbols)
    prompt, pointer = pointed_prompt(tokens, symbols, lm.config.side_sizes, conditioning)
    generation = generate(
        lm, [prompt], READING, seeds=[0], max_new_tokens=MAX_LENGTH_RATIO * codes.shape[1], pointers=[pointer]
    )[0]
    if generation.codes.shape[1] < 2:
        return None
    places = np.array(pointer.path[: generation.codes.shape[1]], np.int64)
    alignment, distance = dtw(_normalized_embeddings(lm, codes), _normalized_embeddings(lm, generation.codes.numpy()))
    return places[alignment] if distance < MAX_DISTANCE else None


def _normalized_embeddings(lm: DualAR, codes: np.ndarray) -> np.ndarray:
    """Embeds frames [T, D], minus their mean over the recording, scaled to unit deviation."""
    offsets = torch.arange(len(codes))[:, None] * lm.config.codebook_size
    x = lm.codebook_embeddings(torch.from_numpy(codes.astype(np.int64)) + offsets).float().sum(dim=0).numpy()
    x = x - x.mean(axis=0)
    return x / max(float(x.std()), 1e-9)


def dtw(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, float]:
    """Dynamic time warping: returns, for each row of `one` [T, D], its row of `other` [S, D], monotonic, and the mean
    squared distance per dimension.
    """
    distances = np.square(one).sum(1)[:, None] - 2 * one @ other.T + np.square(other).sum(1)[None]
    cost = np.full((len(one) + 1, len(other) + 1), np.inf)
    cost[0, 0] = 0
    for i, row in enumerate(distances.tolist()):
        above, left, here = cost[i].tolist(), np.inf, cost[i + 1]
        for j, distance in enumerate(row):
            left = distance + min(above[j], above[j + 1], left)
            here[j + 1] = left
    i, j = len(one), len(other)
    alignment, n_pairs = np.zeros(len(one), np.int64), 0
    while i and j:
        alignment[i - 1] = j - 1  # if several match, the first
        n_pairs += 1
        _, i, j = min((cost[i - 1, j - 1], i - 1, j - 1), (cost[i - 1, j], i - 1, j), (cost[i, j - 1], i, j - 1))
    return alignment, float(cost[-1, -1]) / n_pairs / one.shape[1]


def adapt_voice(lm: DualAR, start: Tensor, recording: AdaptationClip, n_steps: int) -> AdaptedVoice:
    """Returns the voice that maximizes the likelihood of the recording after `n_steps`, starting at `start` [D].

    `lm` has float32 weights created outside inference mode; they do not change.
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
            residual = residual_logits(lm, lm.fast_input(x, normed), codes)
            loss = main + F.cross_entropy(residual.transpose(1, 2), codes[:, 1:])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return AdaptedVoice(vector.detach().clone(), {name: tensor.detach() for name, tensor in lm.fast_tensors.items()})
