import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from backend.audio.resample import resample
from backend.audio.waveform import Waveform
from backend.data.synthetic import speech_like
from backend.errors import BadAudio, BadSettings, NotAvailable
from backend.evaluation.baselines import subprocess_codec
from backend.evaluation.baselines.lyra import FILES
from backend.evaluation.baselines.registry import BASELINES, open_baselines
from backend.metrics.alignment import find_lag, overlap
from backend.metrics.reconstruction import kbps

SOUND = Waveform(speech_like(2.0, 24_000, seed=7), 24_000)


def test_absent_baselines_are_listed_with_a_reason(monkeypatch, tmp_path):
    monkeypatch.setattr(subprocess_codec.shutil, "which", lambda name: None)
    systems, absent = open_baselines(tuple(BASELINES), tmp_path)
    built_in = ["original", "mp3-16", "mp3-32", "aac-16", "aac-32", "vorbis-lowest"]
    assert [system.name for system in systems] == [name for name in BASELINES if name in built_in]
    assert set(absent) == set(BASELINES) - set(built_in)
    assert absent["opus-12"] == "The program opusenc is not installed. Install opus-tools."
    assert "Install codec2" in absent["codec2-3200"]
    assert f"lacks {', '.join(FILES)}" in absent["lyra-6"]


def test_lyra_requires_its_folder():
    assert open_baselines(("lyra-3.2",), None)[1] == {
        "lyra-3.2": "Lyra v2 needs the folder of its files. Pass it with --lyra."
    }


def test_unknown_baselines_are_rejected():
    with pytest.raises(BadSettings, match="Unknown baselines mp4"):
        open_baselines(("mp4", "original"), None)


def test_original_is_unchanged_and_has_no_size():
    coded = BASELINES["original"](None).code(SOUND)
    assert coded.decoded is SOUND and coded.payload_bytes is None and coded.bandwidth_hz == 12_000


def test_error_output_of_a_failing_program_is_reported(tmp_path):
    with pytest.raises(BadAudio, match="sh exited with code 3: no such thing"):
        subprocess_codec.run_program(["sh", "-c", "echo no such thing >&2; exit 3"], tmp_path)
    with pytest.raises(NotAvailable):
        subprocess_codec.require_program("no-such-program-here", "nothing")


class Interpreter:
    """Fakes the TFLite interpreter: the latent is the frame's level, the output a constant at that level."""

    def __init__(self, path, num_threads):
        self.name = Path(path).name
        self.resets = 0

    def allocate_tensors(self):
        pass

    def reset_all_variables(self):
        self.resets += 1

    def get_input_details(self):
        return [{"index": 0}]

    get_output_details = get_input_details

    def set_tensor(self, index, value):
        self.value = value

    def invoke(self):
        if self.name == FILES[0]:
            assert self.value.shape == (1, 320)
            self.result = np.abs(self.value).mean().reshape(1, 1, 1)
        else:
            self.result = np.full((1, 320), self.value.item(), np.float32)

    def get_tensor(self, index):
        return self.result

    def get_signature_runner(self, name):
        if name == "decode":
            return lambda encoding_indices: {"output_0": np.float32(encoding_indices[0] / 1000)}
        return lambda input_frames, num_quantizers: {
            "output_0": input_frames, "output_1": np.int32(np.full((46, 1, 1), 1000 * input_frames.item()))
        }  # fmt: skip


@pytest.mark.parametrize(("name", "rate_kbps"), [("lyra-3.2", 3.2), ("lyra-6", 6.0), ("lyra-9.2", 9.2)])
def test_lyra_runs_frame_by_frame_and_counts_bits(monkeypatch, tmp_path, name, rate_kbps):
    monkeypatch.setitem(sys.modules, "ai_edge_litert", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", SimpleNamespace(Interpreter=Interpreter))
    for file in FILES:
        (tmp_path / file).write_bytes(b"model")
    lyra = BASELINES[name](tmp_path)
    for n_times in (1, 2):
        coded = lyra.code(SOUND)
        assert lyra._encoder.resets == lyra._decoder.resets == n_times
    assert kbps(coded.payload_bytes, SOUND.duration_s) == pytest.approx(rate_kbps, rel=0.01)
    assert coded.decoded.n_samples == 32_000 and coded.bandwidth_hz == 8000
    levels = np.abs(resample(SOUND, 16_000).samples[0]).reshape(-1, 320).mean(axis=1)
    np.testing.assert_allclose(coded.decoded.samples[0, ::320], levels, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "target_kbps", "tolerance"), [("opus-6", 6, 0.25), ("opus-12", 12, 0.5), ("codec2-3200", 3.2, 0.05)]
)
def test_real_baselines_have_their_bitrate_and_keep_the_audio(name, target_kbps, tolerance):
    if shutil.which("opusenc" if "opus" in name else "c2enc") is None:
        pytest.skip("the codec program is not installed")
    coded = BASELINES[name](None).code(SOUND)
    assert kbps(coded.payload_bytes, SOUND.duration_s) == pytest.approx(target_kbps, rel=tolerance)
    assert coded.file_bytes >= coded.payload_bytes
    assert abs(coded.decoded.duration_s - SOUND.duration_s) < 0.1
    sounds = resample(SOUND, 8000).samples[0], resample(coded.decoded, 8000).samples[0]
    pair = overlap(*sounds, find_lag(*sounds, 8000))
    assert len(pair.reference) > 0.97 * 8000 * SOUND.duration_s
    loudness = np.convolve(np.abs(pair.reference), np.ones(400)), np.convolve(np.abs(pair.signal), np.ones(400))
    assert np.corrcoef(*loudness)[0, 1] > 0.9


@pytest.mark.parametrize(("name", "most_kbps"), [("mp3-32", 36), ("aac-32", 40), ("vorbis-lowest", 60)])
def test_built_in_codecs_keep_the_sound_near_the_asked_rate(name, most_kbps):
    system = open_baselines((name,), None)[0][0]
    coded = system.code(SOUND)
    rate_kbps = kbps(coded.payload_bytes, SOUND.duration_s)
    assert 12 < rate_kbps < most_kbps and coded.file_bytes > coded.payload_bytes
    decoded = resample(coded.decoded, 24_000).samples[0]
    original, decoded = overlap(SOUND.samples[0], decoded, find_lag(SOUND.samples[0], decoded, 24_000))
    assert np.corrcoef(original, decoded)[0, 1] > 0.9
