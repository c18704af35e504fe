"""Engines and synthesizers over the small random models, and requests for them."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import soundfile
import torch

from backend.opt_engine import OptimizedEngine
from backend.optimize.cuda_graph.model import CudaGraphDualAR
from backend.pipeline.model_loading import LoadedModel
from backend.pipeline.speech.synthesizer import Synthesizer, SynthesizerLimits
from backend.pipeline.speech.voice_adaptation import VoiceAdapter
from backend.pipeline.speech.voice_conditioning import VoiceConditioning
from backend.pipeline.speech.voice_library import BuiltInVoice, Voice
from backend.runtime.request import ReferenceClip, SpeechRequest
from backend.settings import Settings
from tests.support.small_model import small_model, small_voice_model

TEXT = "The quick brown fox jumps over the lazy dog."
LIMITS = {"n_rows": 8, "max_waiting": 32, "max_frames": 1000, "cache_entries": 20, "chunk_samples": 1000}
DEFAULT_VOICE = VoiceConditioning()


def clip(seconds=1.0, seed=0, text="some words"):
    """A reference clip of noise at 8 kHz."""
    samples = np.random.default_rng(seed).standard_normal(round(8000 * seconds)).astype(np.float32) * 0.1
    file = io.BytesIO()
    soundfile.write(file, samples, 8000, format="WAV")
    return ReferenceClip(file.getvalue(), text)


def start_synthesizer(kind="s1", is_recorded=False, **changes):
    lm, codec, tokenizer = small_model(kind)
    lm = CudaGraphDualAR.of(lm) if is_recorded else lm
    limits = SynthesizerLimits(**{**LIMITS, **changes})
    synthesizer = Synthesizer(lm, codec, tokenizer, model_key="tiny", codes_hash="codes", limits=limits)
    synthesizer.start()
    return synthesizer


def speech_request(text=TEXT, **fields):
    return SpeechRequest(**{"text": text, "seed": 7, "max_new_tokens": 16, "use_memory_cache": False, **fields})


def synthesize(synthesizer, request, voice=DEFAULT_VOICE):
    return synthesizer.stream(request, None if request.references else voice).collect()


def open_small(settings, device, codes_hash="codes-1"):
    lm, codec, tokenizer = small_model()
    return LoadedModel(lm, codec, tokenizer, "small", "small-key", codes_hash)


def open_small_voices(settings, device):
    """The small voice model with a speaker encoder and two built-in voices."""
    lm, codec, tokenizer, encoder = small_voice_model()
    torch.manual_seed(1)
    voices = tuple(
        BuiltInVoice(Voice(name, name.title(), True), VoiceConditioning(conditioning=torch.randn(5)))
        for name in ("ada", "bea")
    )
    return LoadedModel(
        lm, codec, tokenizer, "small", "small-key", "codes-1", voices=voices, encoder=encoder,
        side_sizes=lm.config.side_sizes,
    )  # fmt: skip


def settings_in(folder, **changes):
    return Settings(_env_file=None, data_dir=str(folder), device="cpu", chunk_size=1000, cache_limit=10, **changes)


def load_engine(folder, open_model):
    engine = OptimizedEngine(settings_in(folder), open_model)
    engine.load()
    return engine


def adapting_engine(folder, key="key", loads=None):
    """An engine with voice adaptation; `loads` collects `key` for every load of the weights."""

    def open_adapting(settings, device):
        model = open_small_voices(settings, device)

        def open_lm():
            if loads is not None:
                loads.append(key)
            return small_voice_model()[0]

        return replace(model, voice_adapter=VoiceAdapter(open_lm, _keep_fast_only, model.tokenizer, key, 3))

    return load_engine(folder, open_adapting)


def _keep_fast_only(lm):
    lm.keep_fast_only()
    return lm
