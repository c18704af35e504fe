"""Training on raw audio: it learns, resumes as if it had never stopped, and logs its facts."""

import json
from unittest import mock

import pytest
import torch

from backend.cli.train import _train_pcm
from backend.errors import BadAudio, NotAvailable
from backend.weights.byte_lm_checkpoint import load_byte_lm
from tests.support.wav_folder import write_wavs

pytest.importorskip("lightning")
pytest.importorskip("hydra")


@pytest.fixture(scope="module")
def wavs(tmp_path_factory):
    return write_wavs(tmp_path_factory.mktemp("wavs") / "in", n_files=12, n_samples=3000)


def train(wavs, out, *settings):
    return _train_pcm(["preset=selftest", f"data.dir={wavs}", f"out={out}", "data.valid_share=0.3", *settings], 1, 1)


def rows(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_run_learns_and_a_resumed_one_equals_it(wavs, tmp_path):
    assert train(wavs, tmp_path / "whole", "train.steps=20") == "finished"
    # An interruption after step 10; the schedule is that of the whole run.
    interrupted = mock.patch("backend.training.loop.loop.Loop._agree", lambda loop, is_time: loop.step >= 10)
    with interrupted:
        train(wavs, tmp_path / "parts", "train.steps=20")
    assert train(wavs, tmp_path / "parts", "train.steps=20") == "finished"
    whole, parts = (load_byte_lm(tmp_path / name / "byte_lm").state_dict() for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    losses = [row["loss"] for row in rows(tmp_path / "whole") if row["kind"] == "step"]
    assert losses[-1] < 0.85 * losses[0]
    judged = rows(tmp_path / "whole")[-2]
    assert 0 < judged["bits_per_byte"] < 8 and 0 < judged["flac_bits_per_byte"] < 8
    facts = json.loads((tmp_path / "whole" / "byte_lm" / "byte_lm.json").read_text())["metadata"]["data"]
    assert facts["num_files"] + facts["num_valid_files"] == 12 and facts["chunk_size_bytes"] == 128


def test_16_bit_runs_train_on_two_bytes_a_sample(wavs, tmp_path):
    train(wavs, tmp_path / "wide", "train.steps=2", "data.use_16bit=true")
    assert load_byte_lm(tmp_path / "wide" / "byte_lm").config.n_phases == 2


def test_too_little_data_is_refused(tmp_path):
    with pytest.raises(BadAudio, match="0 chunks"):
        train(write_wavs(tmp_path / "few", n_files=1, n_samples=50), tmp_path / "run")
    with pytest.raises(BadAudio, match="not found"):
        train(tmp_path / "nowhere", tmp_path / "run")


def test_wandb_is_used_only_when_asked_for(wavs, tmp_path):
    with mock.patch.dict("sys.modules", {"wandb": None}):
        train(wavs, tmp_path / "without", "train.steps=1")
        with pytest.raises(NotAvailable, match="wandb"):
            train(wavs, tmp_path / "asked", "train.steps=1", "wandb.project=tests")
    fake = mock.MagicMock()
    with mock.patch.dict("sys.modules", {"wandb": fake}):
        train(wavs, tmp_path / "with", "train.steps=5", "wandb.project=tests")
    assert fake.init.call_args.kwargs["mode"] == "offline"
    logged = [name for call in fake.init.return_value.log.call_args_list for name in call.args[0]]
    assert {"dataset/num_files", "model/total_parameters", "train/loss"} <= set(logged)
    fake.init.return_value.finish.assert_called_once()
