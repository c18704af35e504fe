import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from backend.audio.files import write_audio
from backend.audio.waveform import Waveform
from backend.cli.main import app
from backend.data.synthetic import speech_like
from backend.errors import BadSettings
from backend.training.loop.run_log import read_rows
from backend.weights import load_codec
from tests.support.tiny_training import CODEC, RATE_HZ

TINY = [
    "preset=spectral-24k", f"+codec.config={json.dumps(CODEC).replace(chr(34), '')}", "loss.mel_windows=[64]",
    "loss.mel_bins=[8]", "recon.batch=2", "recon.segment_s=0.1", "warmup.min_steps=2", "warmup.max_steps=2",
    "warmup.n_frames=32", "log_every=1", "data.heldout_speakers=[b]",
]  # fmt: skip


@pytest.fixture
def corpus(tmp_path):
    for speaker in "abc":
        (tmp_path / "corpus" / speaker).mkdir(parents=True)
        write_audio(tmp_path / "corpus" / speaker / "x.wav", Waveform.of(speech_like(0.5, RATE_HZ), RATE_HZ))
    return [f"data.dir={tmp_path / 'corpus'}", f"data.cache={tmp_path / 'cache'}", f"out={tmp_path / 'run'}"]


def test_command_trains_continues_and_exports(tmp_path, corpus):
    for steps in (4, 6):
        result = CliRunner().invoke(app, ["train", "codec", *TINY, *corpus, f"recon.steps={steps}"])
        assert result.exit_code == 0, result.output
    rows = read_rows(tmp_path / "run")
    assert [row["step"] for row in rows if row["kind"] == "step"] == [1, 2, 3, 4, 5, 6]
    assert [row["kind"] for row in rows].count("audition") == 2
    codec = load_codec(tmp_path / "run" / "codec")
    assert codec.spec.sample_rate_hz == RATE_HZ
    assert json.loads((tmp_path / "run" / "codec" / "codec.json").read_text())["trained_steps"] == 6
    verdict = CliRunner().invoke(app, ["train", "doctor", str(tmp_path / "run")])
    assert verdict.exit_code in (0, 1) and "step" in verdict.output


def test_missing_preset_is_reported():
    result = CliRunner().invoke(app, ["train", "codec", "out=x"])
    assert isinstance(result.exception, BadSettings) and "preset=NAME" in str(result.exception)


def test_help_loads_no_framework():
    code = (
        "import sys; import backend.cli.main; sys.exit(any(m in sys.modules for m in ('torch', 'lightning', 'hydra')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
