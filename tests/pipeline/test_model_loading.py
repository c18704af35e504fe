"""Loading a checkpoint folder and synthesizing with it."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from backend.codec.spectral import SpectralCodec
from backend.errors import BadCheckpoint, BadVoice, VoiceExists
from backend.hardware import replace_hardware
from backend.opt_engine import OptimizedEngine
from backend.optimize.base import Support
from backend.optimize.cpu_graph.model import CpuGraph
from backend.optimize.cuda_graph import model as cuda_graph
from backend.optimize.cuda_graph.model import CudaGraph, CudaGraphDualAR
from backend.optimize.planner import lm as lm_planner
from backend.optimize.planner.decision import PlanOptions
from backend.pipeline.model_loading import open_model
from backend.runtime.request import SpeechRequest
from backend.settings import Settings
from backend.weights.codec_checkpoint import codes_hash, save_codec
from backend.weights.voice_embeddings import read_voices
from tests.support.machines import X86_AVX2
from tests.support.small_engine import clip
from tests.support.small_model import small_voice_model
from tests.support.tiny_lm import SHARED

CPU = torch.device("cpu")


def published(tensors):
    """Rename tensors to their published names: `w13` is stored as `w1` and `w3`."""
    renamed = {}
    for name, tensor in tensors.items():
        if "w13" in name:
            renamed[name.replace("w13", "w1")], renamed[name.replace("w13", "w3")] = map(torch.clone, tensor.chunk(2))
        else:
            renamed[name] = tensor.clone()
    return renamed


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small checkpoint with the built-in voice's layout."""
    folder = tmp_path_factory.mktemp("checkpoints") / "phonogram-mini"
    folder.mkdir()
    lm, _, tokenizer, encoder = small_voice_model()
    config = {**SHARED, "model_type": "dual_ar", "era": "phonogram", "max_seq_len": 1000}
    config |= {"side_sizes": list(lm.config.side_sizes), "conditioning_dim": 5, "aux": [["advance", 3]]}
    config |= {"scale_codebook_embeddings": True, "vocab_size": tokenizer.n_vocab}
    config |= {name: getattr(tokenizer, name) for name in ("semantic_begin_id", "semantic_end_id", "end_id")}
    config |= {"speaker": encoder.config.to_dict()}
    save_file(encoder.state_dict(), folder / "speaker.safetensors")
    (folder / "voices").mkdir()
    for number, name in enumerate(("anna", "bert")):
        vector = torch.randn(5, generator=torch.Generator().manual_seed(number))
        save_file({"conditioning": vector}, folder / "voices" / f"{name}.safetensors")
        facts = {"id": name, "name": name.capitalize(), "description": "a voice", "license": "MIT"}
        (folder / "voices" / f"{name}.json").write_text(json.dumps(facts), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(published(lm.state_dict()), folder / "model.safetensors")
    tokenizer.save(folder)
    torch.manual_seed(0)
    codec = SpectralCodec(
        encoder_dims=(8, 8), encoder_depths=(1, 1), decoder_dims=(8, 8), decoder_depths=(1, 1), latent_dim=4,
        n_codebooks=4, codebook_size=24,
    )  # fmt: skip
    save_codec(folder, codec)
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("backend.optimize.planner.plan.plan_folder", lambda: tmp_path)


def test_open_model_loads_every_part(checkpoint):
    model = open_model(checkpoint, CPU, PlanOptions())
    assert (model.name, model.lm.spec.family, model.codec.spec.name) == ("phonogram-mini", "phonogram", "spectral")
    assert model.side_sizes[-1] == 6
    assert model.codes_hash == codes_hash(checkpoint)
    assert model.notes and all(note.startswith(("on: ", "off: ")) for note in model.notes)


def test_model_key_depends_on_the_number_format(checkpoint):
    with replace_hardware(replace(X86_AVX2, has_bf16_matmul=True, has_onednn=False)):
        keys = {open_model(checkpoint, CPU, PlanOptions(mixed_precision=f)).model_key for f in ("fp32", "bf16")}
    assert len(keys) == 2


def test_engine_synthesizes_from_a_checkpoint_folder(checkpoint, tmp_path):
    engine = OptimizedEngine(Settings(_env_file=None, model_dir=str(checkpoint), data_dir=str(tmp_path), device="cpu"))
    engine.load()
    request = SpeechRequest(text="hello there", seed=1)
    speech = engine.speak(request)
    assert speech.waveform.rate_hz == 24000 and speech.waveform.n_samples > 0
    assert (engine.speak(SpeechRequest(text="hello there", seed=1, use_memory_cache=False)).codes.indices
            == speech.codes.indices).all()  # fmt: skip
    assert [voice.id for voice in engine.voices()] == ["anna", "bert"]
    anna, bert = (
        engine.speak(SpeechRequest(text="hello there", seed=1, voice=name)).codes.indices for name in ("Anna", "bert")
    )
    assert (anna == speech.codes.indices).all(), "the first voice is the default"
    assert anna.shape != bert.shape or not (anna == bert).all()
    with pytest.raises(BadVoice, match="cannot be deleted"):
        engine.delete_voice("anna")
    with pytest.raises(VoiceExists):
        engine.add_voice("Anna", clip(), "", True)
    added = engine.add_voice("Carl", clip(), "some words", True)
    assert engine.speak(SpeechRequest(text="hello there", seed=1, voice=added.id)).metrics.frames > 0
    assert engine.status().family == "phonogram" and engine.emotions().family == "phonogram"
    engine.close()


def eight_speeches(settings, n_at_once):
    """The codes of eight seeded requests, `n_at_once` at a time, and the engine's CUDA graph note."""
    engine = OptimizedEngine(settings)
    engine.load()
    requests = [SpeechRequest(text="hello there", seed=n, use_memory_cache=False, max_new_tokens=20) for n in range(8)]
    with ThreadPoolExecutor(n_at_once) as threads:
        codes = [speech.codes.indices for speech in threads.map(engine.speak, requests)]
    notes = engine.status().notes
    engine.close()
    return codes, next(note for note in notes if "cuda_graph" in note)


def refuse(call):
    raise RuntimeError("a driver's own words")


@pytest.mark.parametrize("can_record", [True, False])
def test_cuda_graph_codes_equal_eager_codes_and_failed_capture_is_noted(checkpoint, tmp_path, monkeypatch, can_record):
    """Simulates a GPU: recorded functions run directly, or recording fails."""
    settings = Settings(_env_file=None, model_dir=str(checkpoint), data_dir=str(tmp_path), device="cpu")
    plain, note = eight_speeches(settings, 1)
    assert note.startswith("off: cuda_graph (lm): CUDA graphs need a CUDA GPU")
    monkeypatch.setattr("backend.optimize.planner.plan.plan_folder", lambda: tmp_path / "other")
    monkeypatch.setattr(CudaGraph, "supported", lambda *_: Support(True, "as on a card"))
    monkeypatch.setattr(CpuGraph, "supported", lambda *_: Support(False, "a processor's"))
    monkeypatch.setattr(lm_planner, "spoken_frame_s", lambda lm: 1.0 if isinstance(lm, CudaGraphDualAR) else 2.0)
    if not can_record:
        monkeypatch.setattr(cuda_graph, "capture_for", lambda device: refuse)
    for n_at_once in (1, 8) if can_record else (8,):
        found, note = eight_speeches(settings, n_at_once)
        assert all(map(torch.equal, found, plain))
        assert note.startswith("on: cuda_graph" if can_record else "off: cuda_graph")
        assert can_record or "a driver's own words" in note


def test_damaged_checkpoint_fails_at_load(checkpoint, tmp_path):
    folder = tmp_path / "damaged"
    folder.mkdir()
    for path in checkpoint.glob("*.*"):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "model.safetensors").write_bytes((checkpoint / "model.safetensors").read_bytes()[:1000])
    engine = OptimizedEngine(Settings(_env_file=None, model_dir=str(folder), data_dir=str(tmp_path), device="cpu"))
    with pytest.raises(BadCheckpoint):
        engine.load()
    engine.close()


@pytest.mark.parametrize("damage", ["vector", "facts"])
def test_damaged_built_in_voice_fails_at_load(checkpoint, tmp_path, damage):
    folder = tmp_path / "copy"
    shutil.copytree(checkpoint, folder)
    if damage == "vector":
        save_file({"conditioning": torch.zeros(4)}, folder / "voices" / "anna.safetensors")
    else:
        (folder / "voices" / "anna.json").write_text("[]", encoding="utf-8")
    with pytest.raises(BadCheckpoint, match="anna"):
        read_voices(folder, 5)
