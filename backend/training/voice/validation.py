"""Validation by free generation of held-out sentences, as audio and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch

from backend.audio.files import write_audio
from backend.audio.waveform import Waveform
from backend.codec.base import CausalCodec
from backend.codes import Codes
from backend.data.token_shards import CodedUtterance
from backend.lm.generate import Generation, generate
from backend.lm.sampling_options import SamplingOptions
from backend.lm.text_pointer import Pointer, pointed_prompt
from backend.metrics.asr import RATE_HZ, Recognizer
from backend.metrics.wer import word_error_rate
from backend.training.voice.config import ValidationBlock
from backend.training.voice.dataset import VoiceDataset
from backend.training.voice.model import VoiceModel

N_REFERENCES = 4
# Maximum length relative to the longest teacher utterance.
MAX_RATIO = 3.0


@dataclass
class ValidationSamples:
    """Fixed sentences by fixed speakers. Without a codec only the codes are scored."""

    block: ValidationBlock
    dataset: VoiceDataset
    codec: CausalCodec | None = None
    recognizer: Recognizer | None = None

    @property
    def sentences(self) -> list[CodedUtterance]:
        """Held-out utterances of different speakers where possible, alternating between known and unseen speakers."""
        known, unseen = _one_each(self.dataset.validation), _one_each(self.dataset.unseen)
        mixed = [item for pair in zip(known, unseen, strict=False) for item in pair]
        rest = known[len(unseen) :] + unseen[len(known) :]
        return (mixed + rest)[: self.block.n_sentences]

    def __call__(self, model: VoiceModel, folder: Path) -> dict[str, Any]:
        """Returns durations relative to the teacher's, unfinished sentences and word errors; writes audio to `folder`."""
        sentences = self.sentences
        if not sentences:
            return {}
        spoken = self.speak(model, sentences)
        ratios = [
            generation.codes.shape[1] / item.n_frames for (generation, _), item in zip(spoken, sentences, strict=True)
        ]
        values: dict[str, Any] = {
            "duration_ratio": float(np.mean(ratios)),
            "duration_error": float(np.mean([abs(ratio - 1.0) for ratio in ratios])),
            "unfinished": float(np.mean([generation.finish_reason != "pointer_end" for generation, _ in spoken])),
            "longest_stay": max(stay for _, stay in spoken),
        }
        if self.codec is None:
            return values
        n_wrong = n_words = 0
        folder.mkdir(parents=True, exist_ok=True)
        rate_hz = self.codec.spec.sample_rate_hz
        for i, ((generation, _), item) in enumerate(zip(spoken, sentences, strict=True)):
            for name, codes in (
                (f"{i}-{item.speaker}.wav", generation.codes),
                (f"{i}-{item.speaker}-teacher.wav", item.codes),
            ):
                samples = self._decode(codes)
                write_audio(folder / name, Waveform.of(samples, rate_hz))
                if self.recognizer is not None and not name.endswith("-teacher.wav"):
                    transcript = self.recognizer.transcribe(soxr.resample(samples, rate_hz, RATE_HZ))
                    errors = word_error_rate(item.text, transcript)
                    n_wrong, n_words = n_wrong + errors.n_edits, n_words + errors.n_reference
        (folder / "texts.txt").write_text(
            "".join(f"{i} {item.speaker}: {item.text}\n" for i, item in enumerate(sentences))
        )
        return values | ({"word_error_rate": n_wrong / n_words} if n_words else {})

    def speak(self, model: VoiceModel, sentences: Sequence[CodedUtterance]) -> list[tuple[Generation, int]]:
        """Returns each generated sentence, and the longest time the pointer did not move, in frames."""
        block, dataset, lm = self.block, self.dataset, model.lm
        device, K = lm.device, lm.spec.n_codebooks
        random = np.random.default_rng(block.seed)
        options = SamplingOptions(
            temperature=block.temperature, top_p=block.top_p, repetition_penalty=1.0,
            pointer_temperature=block.pointer_temperature,
        )  # fmt: skip
        prompts, pointers = [], []
        for item in sentences:
            conditioning = mean_voice(model, [dataset.reference(item, random) for _ in range(N_REFERENCES)])
            symbols = dataset.reader.passage([item]).symbols
            tokens = torch.zeros(1 + K, len(symbols), dtype=torch.long, device=device)
            tokens[0] = torch.from_numpy(symbols)
            prompt, pointer = pointed_prompt(tokens, symbols, lm.config.side_sizes, conditioning)
            prompts.append(prompt)
            pointers.append(_Watched(pointer))
        budget = int(MAX_RATIO * max(item.n_frames for item in sentences))
        spoken = generate(lm, prompts, options, max_new_tokens=budget, pointers=pointers)
        return [(generation, pointer.longest_stay) for generation, pointer in zip(spoken, pointers, strict=True)]

    @torch.inference_mode()
    def _decode(self, codes: torch.Tensor | np.ndarray) -> np.ndarray:
        assert self.codec is not None
        indices = torch.as_tensor(np.asarray(codes, dtype=np.int64))[None]
        return self.codec.decode(Codes(indices, self.codec.spec.name))[0, 0].float().cpu().numpy()


class _Watched(Pointer):
    """A pointer that records its longest stay."""

    def __init__(self, pointer: Pointer):
        super().__init__(pointer.symbols, pointer.n_side, pointer.max_spent, pointer.longest_stay_frames)
        self.longest_stay = 0

    def advance(self, n_phonemes: int) -> None:
        self.longest_stay = max(self.longest_stay, self.n_spent + 1)
        super().advance(n_phonemes)


@torch.inference_mode()
def mean_voice(model: VoiceModel, references: Sequence[np.ndarray]) -> torch.Tensor:
    """Returns a speaker's embedding [D]: the mean over references, each codes [K, T]."""
    device = model.lm.device
    vectors = [model.speaker(torch.from_numpy(np.ascontiguousarray(codes))[None].to(device)) for codes in references]
    return torch.cat(vectors).mean(dim=0)


def _one_each(items: Sequence[CodedUtterance]) -> list[CodedUtterance]:
    """Orders items with one of every speaker first, then a second one of each, and so on."""
    seen: dict[str, int] = {}
    ranks = []
    for item in items:
        ranks.append(seen.get(item.speaker, 0))
        seen[item.speaker] = ranks[-1] + 1
    return [items[i] for i in sorted(range(len(items)), key=lambda i: (ranks[i], i))]
