import shutil

import numpy as np
import pytest

from backend.audio.resample import resample
from backend.audio.waveform import Waveform
from backend.data.synthetic import speech_like
from backend.errors import BadAudio, BadSettings, NotAvailable
from backend.evaluate import program
from backend.evaluate.lyra import FILES
from backend.evaluate.peers import PEERS, open_peers
from backend.metrics.alignment import find_lag, overlap
from backend.metrics.bitrate import kbps

SOUND = Waveform(speech_like(2.0, 24_000, seed=7), 24_000)


def test_absent_peers_are_reported_with_their_reason(monkeypatch, tmp_path):
    monkeypatch.setattr(program.shutil, "which", lambda name: None)
    systems, absent = open_peers(tuple(PEERS), tmp_path)
    assert [system.name for system in systems] == ["original"]
    assert set(absent) == set(PEERS) - {"original"}
    assert absent["opus-12"] == "The program opusenc is not on this machine. Install opus-tools."
    assert "Install codec2" in absent["codec2-3200"]
    assert f"lacks {', '.join(FILES)}" in absent["lyra-6"]


def test_lyra_asks_for_its_folder():
    assert open_peers(("lyra-3.2",), None)[1] == {
        "lyra-3.2": "Lyra v2 needs the folder of its files. Give it with --lyra."
    }


def test_unknown_peers_are_refused_by_name():
    with pytest.raises(BadSettings, match="no peers called mp4"):
        open_peers(("mp4", "original"), None)


def test_the_original_is_itself_and_costs_nothing():
    coded = PEERS["original"](None).code(SOUND)
    assert coded.decoded is SOUND and coded.payload_bytes is None and coded.bandwidth_hz == 12_000


def test_a_failing_program_is_quoted(tmp_path):
    with pytest.raises(BadAudio, match="sh ended with code 3 and said: no such thing"):
        program.run_program(["sh", "-c", "echo no such thing >&2; exit 3"], tmp_path)
    with pytest.raises(NotAvailable):
        program.require_program("no-such-program-here", "nothing")


@pytest.mark.parametrize(
    ("name", "target_kbps", "tolerance"), [("opus-6", 6, 0.25), ("opus-12", 12, 0.5), ("codec2-3200", 3.2, 0.05)]
)
def test_real_peers_cost_what_they_promise_and_keep_the_sound(name, target_kbps, tolerance):
    if shutil.which("opusenc" if "opus" in name else "c2enc") is None:
        pytest.skip("the coder is not on this machine")
    coded = PEERS[name](None).code(SOUND)
    assert kbps(coded.payload_bytes, SOUND.duration_s) == pytest.approx(target_kbps, rel=tolerance)
    assert coded.file_bytes >= coded.payload_bytes
    assert abs(coded.decoded.duration_s - SOUND.duration_s) < 0.1
    sounds = resample(SOUND, 8000).samples[0], resample(coded.decoded, 8000).samples[0]
    pair = overlap(*sounds, find_lag(*sounds, 8000))
    assert len(pair.reference) > 0.97 * 8000 * SOUND.duration_s
    loudness = np.convolve(np.abs(pair.reference), np.ones(400)), np.convolve(np.abs(pair.signal), np.ones(400))
    assert np.corrcoef(*loudness)[0, 1] > 0.9
