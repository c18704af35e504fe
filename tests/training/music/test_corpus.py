"""Encoding a folder of renders."""

import json

import numpy as np
import pytest

from backend.audio.files import write_audio
from backend.audio.waveform import Waveform
from backend.errors import BadContainer, BadSettings
from backend.training.music import corpus
from backend.training.music.corpus import encode_corpus
from tests.support.tiny_training import RATE_HZ, tiny_codec


def render(folder, name, rate_hz=RATE_HZ, split="train"):
    samples = 0.3 * np.sin(np.arange(RATE_HZ // 2 + 7) * (0.1 + len(name) / 50)).astype(np.float32)
    write_audio(folder / f"{name}.wav", Waveform(samples[None], rate_hz))
    row = {"id": name, "path": f"{name}.wav", "kind": "composed", "split": split, "captions": ["calm piano"],
           "labels": {"tempo_bpm": 90, "meter": "4/4"}}  # fmt: skip
    with (folder / "manifest.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def test_pieces_are_encoded_once_and_keep_their_split(tmp_path, monkeypatch):
    render(tmp_path, "a")
    render(tmp_path, "bb", split="heldout")
    spec, pieces = encode_corpus(tmp_path, tiny_codec(), "1" * 64)
    n_frames = -(-(RATE_HZ // 2 + 7) // spec.hop_samples)
    assert [piece.codes.shape for piece in pieces] == [(3, n_frames)] * 2
    assert [piece.is_held_out for piece in pieces] == [False, True]
    render(tmp_path, "ccc")
    encoded = []
    real = corpus._encode
    monkeypatch.setattr(corpus, "_encode", lambda path, codec: encoded.append(path.stem) or real(path, codec))
    again = encode_corpus(tmp_path, tiny_codec(), "1" * 64)[1]
    assert encoded == ["ccc"] and [piece.id for piece in again] == ["a", "bb", "ccc"]
    assert np.array_equal(again[0].codes, pieces[0].codes)


def test_codes_of_another_codec_are_not_mixed(tmp_path):
    render(tmp_path, "a")
    encode_corpus(tmp_path, tiny_codec(), "1" * 64, tmp_path / "codes")
    with pytest.raises(BadContainer, match="Choose another folder"):
        encode_corpus(tmp_path, tiny_codec(1), "2" * 64, tmp_path / "codes")


def test_wrong_rate_and_missing_manifest_are_refused(tmp_path):
    with pytest.raises(BadSettings, match="render-corpus"):
        encode_corpus(tmp_path, tiny_codec(), "1" * 64)
    render(tmp_path, "a", rate_hz=16_000)
    with pytest.raises(BadSettings, match="Render at its rate"):
        encode_corpus(tmp_path, tiny_codec(), "1" * 64)
