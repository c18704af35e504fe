"""A language model with its speaker encoder, and their losses on a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from backend.errors import BadSettings
from backend.lm.config import DualARConfig
from backend.lm.dual_ar import DualAR
from backend.lm.speaker_encoder import SpeakerConfig, SpeakerEncoder
from backend.lm.teacher_forcing import residual_logits, states
from backend.lm.text_pointer import ADVANCE
from backend.text.tokenizers.phoneme import PhonemeTokenizer
from backend.training.voice.batch import VoiceBatch
from backend.training.voice.config import ModelBlock
from backend.weights.fish_lm import dual_ar_from_tensors
from backend.weights.int8_storage import from_int8_rows
from backend.weights.speaker import load_speaker
from backend.weights.tensor_files import read_tensors

NAME = "phonogram"


class VoiceLosses(NamedTuple):
    """Cross entropies in nats: main code, each residual code [K - 1], pointer move."""

    main: Tensor
    residual: Tensor
    advance: Tensor
    main_accuracy: Tensor
    residual_accuracy: Tensor  # [K - 1]
    advance_accuracy: Tensor


class VoiceModel(nn.Module):
    def __init__(self, lm: DualAR, speaker: SpeakerEncoder):
        super().__init__()
        self.lm, self.speaker = lm, speaker

    def forward(
        self, batch: VoiceBatch, has_speaker: Tensor | None = None, kept: Tensor | None = None,
        label_smoothing: float = 0.0, dropout: float = 0.0, speaker_noise: Tensor | None = None,
    ) -> VoiceLosses:  # fmt: skip
        """Returns the losses of the model's predictions.

        `has_speaker` [B] false hides the reference of a row. `kept` (indices into the M frames) selects the frames
        whose residual codes count; None: all. `speaker_noise` [B, D] is added to the speaker embedding.
        """
        lm = self.lm
        conditioning = self.speaker(batch.reference, batch.n_reference)
        if speaker_noise is not None:
            conditioning = conditioning + speaker_noise
        if has_speaker is not None:
            conditioning = conditioning * has_speaker[:, None]
        x, normed = states(
            lm, batch.tokens, None, conditioning, batch.side, is_scaled=lm.config.family == "phonogram", dropout=dropout,
        )  # fmt: skip
        # Padding is on the right, where causal attention never sees it, so no mask is needed.
        x, normed = x.flatten(0, 1)[batch.at], normed.flatten(0, 1)[batch.at]
        main = lm.legal_logits(normed)[:, :-1].float()
        advance = lm.aux_heads[ADVANCE](normed).float()
        hidden, codes = lm.fast_input(x, normed), batch.codes
        if kept is not None:
            hidden, codes = hidden[kept], codes[kept]
        residual = residual_logits(lm, hidden, codes).float()
        labels = codes[:, 1:]
        residual_loss = F.cross_entropy(
            residual.transpose(1, 2), labels, reduction="none", label_smoothing=label_smoothing
        )
        return VoiceLosses(
            F.cross_entropy(main, batch.codes[:, 0], label_smoothing=label_smoothing),
            residual_loss.mean(dim=0),
            F.cross_entropy(advance, batch.advance),
            (main.argmax(dim=-1) == batch.codes[:, 0]).float().mean(),
            (residual.argmax(dim=-1) == labels).float().mean(dim=0),
            (advance.argmax(dim=-1) == batch.advance).float().mean(),
        )


def model_config(block: ModelBlock, codebook_sizes: tuple[int, ...], tokenizer: PhonemeTokenizer) -> DualARConfig:
    """Builds the language model's config from the block, the codec and the symbols."""
    n_symbols = tokenizer.semantic_begin_id  # ids below are controls and symbols
    decided: dict[str, Any] = {
        "family": "phonogram", "vocab_size": tokenizer.n_vocab, "codebook_size": max(codebook_sizes),
        "num_codebooks": len(codebook_sizes), "semantic_begin_id": tokenizer.semantic_begin_id,
        "semantic_end_id": tokenizer.semantic_end_id, "end_id": tokenizer.end_id,
        "side_sizes": (n_symbols,) * (block.n_ahead + 1) + (block.max_spent + 1,),
        "aux": ((ADVANCE, block.max_advance + 1),),
    }  # fmt: skip
    taken = sorted(set(decided) & set(block.config))
    if taken:
        raise BadSettings(
            f"model.config sets {', '.join(taken)}, which are derived from codec and text. Leave them out."
        )
    try:
        return DualARConfig(**decided, **block.config)
    except (TypeError, ValueError) as error:
        raise BadSettings(f"model.config is invalid: {error}. Correct it.") from error


def build_voice_model(block: ModelBlock, codebook_sizes: tuple[int, ...], tokenizer: PhonemeTokenizer) -> VoiceModel:
    """Builds a model with random weights from torch's global generator."""
    config = model_config(block, codebook_sizes, tokenizer)
    if not config.conditioning_dim:
        raise BadSettings(
            "model.config.conditioning_dim is 0; a voice needs a speaker embedding. Set a width, such as 64."
        )
    speaker = SpeakerConfig(config.num_codebooks, config.codebook_size, config.conditioning_dim, **block.speaker)
    return VoiceModel(DualAR(config, NAME), SpeakerEncoder(speaker))


def load_voice_weights(model: VoiceModel, folder: Path, has_speaker: bool = True) -> None:
    """Loads the weights of an exported voice, or of its language model alone. Raises `BadCheckpoint` for other shapes."""
    tensors = from_int8_rows(read_tensors(folder / "model.safetensors"))
    lm = dual_ar_from_tensors(model.lm.config, tensors, is_serving=False)
    model.lm.load_state_dict(lm.state_dict())
    if not has_speaker:
        return
    speaker = load_speaker(folder, {"speaker": model.speaker.config.to_dict()})
    model.speaker.load_state_dict(speaker.state_dict())
