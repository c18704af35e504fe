"""Voice library: names and speaker similarity."""

import pytest
import torch

from backend.errors import BadVoice, NotSupported, UnknownVoice, VoiceExists
from backend.opt_engine import OptimizedEngine
from backend.runtime.request import SpeechRequest
from backend.settings import Settings
from tests.support.small_engine import clip, load_engine, open_small, open_small_voices


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    engine = load_engine(tmp_path_factory.mktemp("data"), open_small_voices)
    yield engine
    engine.close()


def test_similarity_of_a_voice_and_its_own_clip_is_one(engine):
    engine.add_voice("Cleo", clip(), "some words", True)
    library, reference = engine._loaded.voices, engine._loaded.synthesizer.reference
    codes = torch.from_numpy(reference.codes_of(reference.read(clip().audio)))[None]
    speech = type("Take", (), {"indices": codes})
    assert library.similarity("Cleo", speech) == pytest.approx(1.0, abs=1e-5)
    assert library.similarity("ada", speech) < 0.99
    engine.delete_voice("Cleo")


def test_voice_similarity_is_deterministic_for_a_seed(engine):
    first, again = (engine.voice_similarity("Ada", "hello there", seed=3) for _ in range(2))
    assert first == again and -1 <= first <= 1
    assert engine.voice_similarity("bea", "hello there", seed=3) != first
    with pytest.raises(UnknownVoice):
        engine.voice_similarity("nobody", "hello there")


def test_built_in_voice_names_are_reserved(engine):
    engine.add_voice("Dora", clip(seed=4), "some words", True)
    with pytest.raises(BadVoice, match="is built in"):
        engine.rename_voice("ADA", "Eve")
    with pytest.raises(VoiceExists):
        engine.rename_voice("Dora", "Bea")
    assert engine.rename_voice("dora", "Eve").name == "Eve"
    assert [voice.name for voice in engine.voices()] == ["Ada", "Bea", "Eve"]
    engine.delete_voice("Eve")


def test_similarity_without_a_speaker_encoder_fails_before_synthesis(tmp_path):
    engine = load_engine(tmp_path, open_small)
    engine.add_voice("Cleo", clip(), "some words", True)
    n_done = engine.status().counts.done
    with pytest.raises(NotSupported, match="speaker encoder"):
        engine.voice_similarity("Cleo", "hello there")
    assert engine.status().counts.done == n_done
    engine.close()


@pytest.mark.slow
def test_built_in_voices_are_more_similar_to_themselves_than_to_each_other(tmp_path):
    engine = OptimizedEngine(Settings(_env_file=None, data_dir=str(tmp_path), device="cpu"))
    engine.load()
    for own, other in (("af_heart", "am_adam"), ("am_adam", "af_heart")):
        request = SpeechRequest(text="The kettle is on, and the tea is nearly ready.", voice=own, seed=7, whole=True)
        codes, library = engine.speak(request).codes, engine._loaded.voices
        # Measured: 0.997 and 0.934. All speaker embeddings are similar, so the margin is small.
        assert library.similarity(own, codes) > library.similarity(other, codes) + 0.03
    engine.close()
