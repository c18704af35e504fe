"""Lossless coders side by side: sizes, exactness, and what looks lossy."""

from pathlib import Path

import numpy as np
import pytest

from backend.errors import BadAudio
from backend.evaluation.lossless.coders import LosslessCoder, open_coders
from backend.evaluation.lossless.lossy_source import lossy_cutoff_hz
from backend.evaluation.lossless.report import lossless_table, save_lossless_plot
from backend.evaluation.lossless.runner import evaluate_lossless, lossless_document
from tests.support.pcm_files import music, wav_bytes


def copied(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes())


def broken(source: Path, target: Path) -> None:
    content = bytearray(source.read_bytes())
    content[100] ^= 1
    target.write_bytes(content)


CODERS = [LosslessCoder("flac-8", copied, copied), LosslessCoder("broken", copied, broken)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    for k in range(3):
        (folder / f"{k}.wav").write_bytes(wav_bytes(music(3000, 2, seed=k), 2))
    (folder / "bad.wav").write_bytes(b"RIFF")
    return folder


def test_every_coder_is_run_on_every_file_and_checked(folder, tmp_path):
    ours = open_coders([1])[0][-1]
    evaluation = evaluate_lossless(folder, [*CODERS, ours])
    assert list(evaluation.skipped) == ["bad.wav"] and len(evaluation.results) == 9
    document = lossless_document(evaluation, {"mac": "not here"})
    rows = {row["coder"]: row for row in document["summary"]}
    assert rows["flac-8"]["pooled_share"] == 1.0 and rows["flac-8"]["is_exact"] and not rows["broken"]["is_exact"]
    assert rows["phonogram-1"]["is_exact"] and rows["phonogram-1"]["pooled_beside_flac8"] < 0.9
    table = lossless_table(document)
    assert "NO" in table and "mac: left out" in table and "bad.wav: left out" in table
    pytest.importorskip("matplotlib")
    save_lossless_plot(document, tmp_path / "plot.svg")
    assert (tmp_path / "plot.svg").stat().st_size > 1000


def test_limits_and_empty_folders(folder, tmp_path):
    assert len(evaluate_lossless(folder, CODERS[:1], limit=2).results) <= 2
    with pytest.raises(BadAudio, match="No WAV file"):
        evaluate_lossless(tmp_path, CODERS)


def test_absent_programs_are_named(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    coders, absent = open_coders([1, 9])
    assert [coder.name for coder in coders] == ["phonogram-1", "phonogram-9"]
    assert "Install flac" in absent["flac-8"] and "ape-c4000" in absent


def test_brick_walls_are_found_and_full_bands_are_not():
    noise = np.random.default_rng(0).normal(size=(2, 60000)) * 3000
    assert lossy_cutoff_hz(noise, 44100) is None
    spectrum = np.fft.rfft(noise)
    spectrum[:, int(16000 / 22050 * spectrum.shape[1]) :] *= 1e-4
    cutoff = lossy_cutoff_hz(np.fft.irfft(spectrum), 44100)
    assert cutoff is not None and 14500 < cutoff < 16500
    assert lossy_cutoff_hz(noise[:, :1000], 44100) is None and lossy_cutoff_hz(noise, 8000) is None
