"""Code tables parametrized by the codec's vectors, and their export."""

import pytest
import torch

from backend.errors import BadSettings
from backend.lm.teacher_forcing import residual_logits, states
from backend.text.phonemes.english import SYMBOLS
from backend.text.tokenizers.phoneme import PhonemeTokenizer
from backend.training.voice.code_embeddings import add_geometry, code_vectors, plain
from backend.training.voice.model import VoiceModel, build_voice_model
from backend.weights.fish_lm import published_shapes
from tests.support.tiny_training import tiny_codec
from tests.support.tiny_voice import tiny_recipe

CODEC = tiny_codec()
SIZES = CODEC.spec.codebook_sizes


def model(tmp_path) -> VoiceModel:
    torch.manual_seed(0)
    return build_voice_model(tiny_recipe(tmp_path).model, SIZES, PhonemeTokenizer(SYMBOLS, SIZES[0]))


@torch.no_grad()
def said(voice: VoiceModel) -> list[torch.Tensor]:
    """What a model makes of one sequence of frames."""
    draw = torch.Generator().manual_seed(1)
    codes = torch.randint(0, SIZES[0], (1, len(SIZES), 5), generator=draw)
    tokens = torch.cat((codes[:, :1] + voice.lm.spec.semantic_begin_id, codes), dim=1)
    x, normed = states(voice.lm, tokens, None, voice.speaker(codes), None, is_scaled=True)
    return [x, voice.lm.legal_logits(normed), residual_logits(voice.lm, normed[0], codes[0].T)]


def test_adding_vectors_later_keeps_the_outputs(tmp_path):
    voice = model(tmp_path)
    before = said(voice)
    add_geometry(voice, CODEC, is_fresh=False)
    assert all(torch.equal(a, b) for a, b in zip(before, said(voice), strict=True))


def test_exported_weights_give_equal_outputs(tmp_path):
    voice = model(tmp_path)
    names = set(published_shapes(voice.lm))
    add_geometry(voice, CODEC)
    ordinary = plain(voice)
    assert set(published_shapes(ordinary.lm)) == names
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(said(voice), said(ordinary), strict=True))


def test_follow_only_speaker_encoder_depends_on_vectors_alone(tmp_path):
    voice = model(tmp_path)
    add_geometry(voice, CODEC, is_fresh=False, is_speaker_fresh=True, speaker_follows_only=True)
    with torch.no_grad():
        voice.speaker.embeddings.parametrizations.weight.original.normal_()  # what a row has of its own
    vectors = code_vectors(CODEC)
    rows = voice.speaker.embeddings.weight[: SIZES[0]]
    assert torch.allclose(vectors[0] @ torch.linalg.lstsq(vectors[0], rows).solution, rows, atol=1e-4)
    voice.speaker(torch.zeros(1, len(SIZES), 5, dtype=torch.long)).square().sum().backward()
    assert not voice.speaker.embeddings.parametrizations.weight.original.grad.any()
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(said(voice), said(plain(voice)), strict=True))


def test_code_rows_start_as_projections_of_their_vectors(tmp_path):
    voice = model(tmp_path)
    add_geometry(voice, CODEC)
    vectors = code_vectors(CODEC)
    n = SIZES[0]
    for k in range(len(SIZES)):
        rows = voice.lm.codebook_embeddings.weight[k * n : (k + 1) * n]
        fit = torch.linalg.lstsq(vectors[k], rows).solution
        assert torch.allclose(vectors[k] @ fit, rows, atol=1e-4)
    symbols = voice.lm.embeddings.weight[: voice.lm.spec.semantic_begin_id]
    assert symbols.std() > 0.01, "what stands before the codes keeps its own start"


def test_training_one_code_moves_its_neighbors(tmp_path):
    voice = model(tmp_path)
    add_geometry(voice, CODEC)
    before = voice.lm.codebook_embeddings.weight.detach().clone()
    optimizer = torch.optim.SGD(voice.parameters(), lr=10.0)
    voice.lm.codebook_embeddings.weight[0].sum().backward()
    optimizer.step()
    moved = (voice.lm.codebook_embeddings.weight.detach() - before).norm(dim=1)[: SIZES[0]]
    vectors = code_vectors(CODEC)[0]
    alike = torch.nn.functional.cosine_similarity(vectors, vectors[:1])
    # The gradient of one row reaches others by how much their vectors have in common.
    assert torch.corrcoef(torch.stack((moved[1:], (vectors @ vectors[0]).abs()[1:])))[0, 1] > 0.99
    assert alike[0] == pytest.approx(1.0)


def test_codes_without_vectors_are_rejected(tmp_path):
    codec = tiny_codec()
    del codec.quantizer
    with pytest.raises(BadSettings, match="follows_codec=false"):
        add_geometry(model(tmp_path), codec)
