import json
from pathlib import Path

import numpy as np

from backend.audio.files import write_audio
from backend.audio.waveform import Waveform
from backend.training.codec.config import DataBlock, PhaseBlock
from backend.training.codec.dataset import build_sampler, open_dataset
from tests.support.tiny_training import RATE_HZ, tiny_codec


def corpus(folder: Path, speakers: list[str]) -> None:
    """Each speaker's clip is a constant of its own."""
    folder.mkdir()
    rows = []
    for i, speaker in enumerate(speakers):
        level = np.full((1, 4000), 0.1 * (i + 1), np.float32)
        write_audio(folder / f"{i}.wav", Waveform.of(level, RATE_HZ))
        rows.append(json.dumps({"id": str(i), "file": f"{i}.wav", "speaker": speaker}))
    (folder / "manifest.jsonl").write_text("\n".join(rows))


def test_held_out_speakers_are_never_sampled(tmp_path):
    corpus(tmp_path / "corpus", ["ann", "bob", "bob:0.5+cleo:0.5", "cleo", "dan"])
    block = DataBlock(
        dir=tmp_path / "corpus", cache=tmp_path / "cache", heldout_speakers=("cleo",), heldout_files=("0.wav",),
        augment={"speed_probability": 0, "tone_probability": 0, "noise_probability": 0, "gain_probability": 0},
    )  # fmt: skip
    spec = tiny_codec().spec
    learned, validation_clips = open_dataset(block, spec)
    assert {clip.speaker for clip in learned} == {"bob", "dan"}
    assert {clip.speaker for clip in validation_clips} == {"ann", "bob:0.5+cleo:0.5", "cleo"}
    sampler = build_sampler(learned, block, PhaseBlock(steps=1, batch=200, segment_s=0.1), spec, seed=0)
    levels = set(np.round(sampler.next_batch()[:, 0, 0], 2).tolist())
    assert len(levels) == 2 and all(min(abs(level - x) for x in (0.2, 0.5)) < 0.01 for level in levels)


def test_segments_are_whole_frames(tmp_path):
    corpus(tmp_path / "corpus", ["ann"])
    block = DataBlock(dir=tmp_path / "corpus", cache=tmp_path / "cache")
    spec = tiny_codec().spec
    learned, _ = open_dataset(block, spec)
    sampler = build_sampler(learned, block, PhaseBlock(steps=1, segment_s=0.1003), spec, seed=0)
    assert sampler.next_batch().shape[2] % spec.hop_samples == 0


def test_validation_clips_come_from_their_own_folder(tmp_path):
    corpus(tmp_path / "corpus", ["ann", "bob"])
    corpus(tmp_path / "judged", ["x", "y", "z"])
    block = DataBlock(
        dir=tmp_path / "corpus", cache=tmp_path / "cache", audition_dir=tmp_path / "judged", n_audition_clips=2
    )
    learned, validation_clips = open_dataset(block, tiny_codec().spec)
    assert {clip.speaker for clip in learned} == {"ann", "bob"}
    assert [clip.speaker for clip in validation_clips] == ["x", "z"]
