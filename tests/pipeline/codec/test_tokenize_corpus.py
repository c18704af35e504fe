"""Encoding a speech corpus to token shards."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from backend.audio.files import read_audio, write_audio
from backend.audio.waveform import Waveform
from backend.cli.main import app
from backend.codec.registry import CODECS
from backend.codes import Codes
from backend.data.token_shards import ShardDataset
from backend.errors import BadSettings
from backend.weights import codes_hash, save_codec
from tests.support.tiny_codecs import REGISTERED, TinyCodec

RATE_HZ = 24_000


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "corpus"
    (folder / "speech").mkdir(parents=True)
    random = np.random.default_rng(0)
    rows = []
    for number, speaker in enumerate(["ann", "bob", "ann:0.6+eve:0.4", "eve"]):
        samples = (0.1 * random.standard_normal(RATE_HZ // 2 + 777 * number)).astype(np.float32)
        write_audio(folder / "speech" / f"{number}.wav", Waveform.of(samples, RATE_HZ))
        row = {"id": f"c{number}", "file": f"{number}.wav", "text": "Hi.", "phonemes": "hˈI.", "speaker": speaker}
        if number != 1:
            row |= {"symbols": "hˈI.", "durations": [5, 3, 2, 6, 3, 5], "trim": [1000, 9000]}
        rows.append(row)
    rows.append({"id": "gone", "file": "gone.wav", "text": "Hi.", "phonemes": "hˈI.", "speaker": "ann"})
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def codec(tmp_path, monkeypatch):
    monkeypatch.setitem(CODECS, "tiny", REGISTERED)
    codec = TinyCodec(hop=480, rate_hz=RATE_HZ, lag=100)
    save_codec(tmp_path / "codec", codec)
    return codec.eval()


def run(tmp_path, *extra):
    arguments = ["data", "tokenize", str(tmp_path / "corpus/manifest.jsonl"), "--codec", str(tmp_path / "codec"),
                 "--out", str(tmp_path / "tokens"), "--device", "cpu", *extra]  # fmt: skip
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_shards_decode_to_the_whole_recording(tmp_path, corpus, codec):
    result = run(tmp_path)
    assert result.exit_code == 0
    assert "4 utterances written" in result.output and "3 aligned" in result.output and "skipped gone" in result.output
    dataset = ShardDataset(tmp_path / "tokens", codes_hash(tmp_path / "codec"))
    spec = codec.spec
    for number, item in enumerate(dataset):
        sound = read_audio(corpus / "speech" / f"{number}.wav")
        assert (item.n_frames - 1) * spec.hop_samples < sound.n_samples + spec.latency_samples
        assert item.n_frames * spec.hop_samples >= sound.n_samples + spec.latency_samples
        with torch.inference_mode():
            direct = codec.encode(torch.from_numpy(sound.samples)[None]).indices[0].numpy()
        # The last frame holds silence where the recording ended.
        np.testing.assert_array_equal(item.codes[:, : direct.shape[1] - 1], direct[:, :-1])
        codec.decode(Codes(torch.from_numpy(item.codes.astype(np.int64))[None], spec.name))
        assert item.is_aligned == (number != 1)


def test_held_out_speakers_and_their_mixes_are_not_encoded(tmp_path, corpus, codec):
    run(tmp_path, "--heldout", "eve")
    assert [item.id for item in ShardDataset(tmp_path / "tokens")] == ["c0", "c1"]


def test_second_run_encodes_only_new_utterances(tmp_path, corpus, codec):
    run(tmp_path, "--heldout", "eve")
    assert "2 utterances written" in run(tmp_path).output
    assert "0 utterances written" in run(tmp_path).output
    assert len(ShardDataset(tmp_path / "tokens")) == 4


@pytest.mark.parametrize("row", [{"text": "Hi."}, {"durations": [1, 2]}, {"durations": ["x"]}, ["a list"]])
def test_invalid_manifest_rows_are_named(tmp_path, corpus, codec, row):
    whole = {"file": "0.wav", "text": "Hi.", "symbols": "hˈI.", "speaker": "ann"}
    row = row if isinstance(row, list) or "text" in row else whole | row
    (corpus / "manifest.jsonl").write_text(json.dumps(whole) + "\n" + json.dumps(row))
    with pytest.raises(BadSettings, match="Line 2 of 'manifest.jsonl'"):
        run(tmp_path)


def test_speed_perturbed_utterance_is_shorter_with_another_speaker(tmp_path, corpus, codec):
    assert run(tmp_path).exit_code == 0
    whole = ShardDataset(tmp_path / "tokens")
    result = run(tmp_path, "--out", str(tmp_path / "played"), "--played", "1.25")
    assert result.exit_code == 0
    played = ShardDataset(tmp_path / "played")
    assert set(played.speakers) == {f"{name}~1.25" for name in whole.speakers}
    for before, after in zip(whole, played, strict=True):
        assert (after.text, after.symbols, after.is_aligned) == (before.text, before.symbols, before.is_aligned)
        assert after.n_frames == pytest.approx(before.n_frames / 1.25, abs=2)


@pytest.mark.parametrize("factors", ["fast", "0.9,3", ""])
def test_out_of_range_speed_factors_are_rejected(tmp_path, corpus, codec, factors):
    with pytest.raises(BadSettings, match="expected factors from 0.5 to 2"):
        run(tmp_path, "--played", factors)
