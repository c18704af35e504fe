"""Music training: resuming, crops, labels, validation, export."""

import json
import math

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric

from backend.data.token_shards import ShardSpec
from backend.errors import BadSettings
from backend.music.conditioning import CONDITIONING_DIM, FIELDS
from backend.training.loop.run_log import read_rows
from backend.training.music.build import build_run
from backend.training.music.config import read_music_config
from backend.training.music.corpus import CodedPiece
from backend.training.music.dataset import MusicDataset
from backend.training.music.model import build_music_model, load_music_weights
from backend.training.presets import compose_preset, preset_names

SPEC = ShardSpec("tiny", "0" * 64, 8000, 640, (32, 32, 32, 32))
CHANGES = (
    "model.n_codebooks=3", "model.config.n_layer=1", "model.config.dim=32", "model.config.n_head=2",
    "model.config.head_dim=16", "model.config.intermediate_size=64", "model.config.fast_dim=16",
    "model.config.fast_n_head=2",
    "model.config.fast_n_local_heads=2", "model.config.fast_head_dim=8", "model.config.fast_intermediate_size=32",
    "data.batch=3", "data.crop_frames=12", "curriculum.steps=3", "curriculum.first_crop_frames=6", "log_every=1",
    "snapshot_minutes=1000", "export_minutes=1000", "audition_minutes=1000", "train.steps=6", "data.dir=renders",
    "data.codec=codec", "average_decay=0.5", "train.optimizer.warmup_steps=2",
)  # fmt: skip


def piece(number: int, n_frames: int = 40) -> CodedPiece:
    random = np.random.default_rng(number)
    tempo_bpm = 80 + 10 * number
    labels = {"tempo_bpm": tempo_bpm, "meter": "4/4", "key": "A minor", "genre": "jazz", "mood": "sad",
              "instruments": ["piano"]}  # fmt: skip
    codes = random.integers(0, 32, (4, n_frames)).astype(np.int16)
    return CodedPiece(f"p{number}", codes, labels, (f"sad jazz at {tempo_bpm} bpm",), number >= 4)


PIECES = [piece(number) for number in range(7)]


def recipe(out, *changes):
    return read_music_config(compose_preset("music", "music-nano", [f"out={out}", *CHANGES, *changes]))


def run(settings, pieces=PIECES):
    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.seed_everything(settings.seed, verbose=False)
    return build_run(settings, fabric, SPEC, pieces)


@pytest.fixture(autouse=True)
def _exact_log(monkeypatch):
    monkeypatch.setattr("backend.training.loop.run_log._plain", lambda value: value)


def losses(out):
    return [row["loss"] for row in read_rows(out) if row["kind"] == "step"]


class Killed(BaseException):
    """The process ends here."""


def test_killed_run_resumes_with_the_same_losses(tmp_path, monkeypatch):
    run(recipe(tmp_path / "whole", "snapshot_minutes=0", "loss.dropout=0.1")).run()
    settings = recipe(tmp_path / "broken", "snapshot_minutes=0", "loss.dropout=0.1")
    broken = run(settings)
    learn = broken.task.train_step

    def dying(phase_step, is_detailed):
        if phase_step == 3:
            raise Killed
        return learn(phase_step, is_detailed)

    monkeypatch.setattr(broken.task, "train_step", dying)
    with pytest.raises(Killed):
        broken.run()
    torch.manual_seed(999)
    run(settings).run()
    assert losses(tmp_path / "broken") == losses(tmp_path / "whole")
    assert len(losses(tmp_path / "whole")) == 6


def test_crops_grow_during_the_curriculum(tmp_path):
    settings = recipe(tmp_path)
    assert [settings.crop_frames_at(step) for step in range(5)] == [6, 8, 10, 12, 12]


def test_input_is_the_frame_before_and_labels_are_of_the_predicted_frame(tmp_path):
    dataset = MusicDataset(recipe(tmp_path).data, SPEC, PIECES, 3)
    assert [item.id for item in dataset.learned] == ["p0", "p1", "p2", "p3"]
    batch = next(dataset.fixed_batches())
    assert batch.tokens[:, 0, 0].tolist() == [dataset.begin_id] * 3
    assert torch.equal(batch.tokens[:, 1:, 1:], batch.codes[:, :-1].transpose(1, 2))
    assert torch.equal(batch.tokens[:, 0, 1:], batch.tokens[:, 1, 1:])
    assert batch.codes[0].tolist() == PIECES[4].codes[:3, :12].T.tolist()


def test_everything_left_out_leaves_only_the_clock(tmp_path):
    settings = recipe(tmp_path, "data.all_drop=1")
    batch = MusicDataset(settings.data, SPEC, PIECES, 3).training_batch(np.random.default_rng(0), 12)
    assert not batch.side[..., : len(FIELDS) - 1].any() and not batch.conditioning.any()
    assert batch.side[..., -1].unique().numel() > 1
    assert batch.conditioning.shape == (3, CONDITIONING_DIM)


def test_shuffled_prompts_keep_codes_and_change_labels(tmp_path):
    dataset = MusicDataset(recipe(tmp_path).data, SPEC, PIECES, 3)
    true, shuffled = next(dataset.fixed_batches()), next(dataset.fixed_batches(is_shuffled=True))
    assert torch.equal(true.codes, shuffled.codes)
    assert not torch.equal(true.side, shuffled.side)


def test_model_learns_what_only_the_labels_tell(tmp_path):
    """The codes of a piece are one number that follows from its tempo. The frames before tell it too, so the description
    counts for the first frame alone; a model that ignores it gains 0.
    """
    pieces = []
    for number in range(7):
        item = piece(number)
        item.codes[:] = 3 + 7 * (number % 2)
        item.labels["tempo_bpm"] = 90 + 60 * (number % 2)
        pieces.append(item)
    changes = ("train.steps=60", "train.optimizer.lr=1e-2", "data.field_drop=0", "data.caption_drop=1",
               "data.all_drop=0", "log_every=60", "average_decay=0.8")  # fmt: skip
    loop = run(recipe(tmp_path, *changes), pieces)
    loop.run()
    values = loop.task.validate(tmp_path)
    assert values["prompt_gain"] > 0.1 and values["validation_loss"] < 1.5


def test_validation_exports_the_best_weights_and_they_load(tmp_path):
    settings = recipe(tmp_path)
    loop = run(settings)
    loop.run()
    row = [row for row in read_rows(tmp_path) if "validation_loss" in row][-1]
    assert row["is_best"] and math.isfinite(row["prompt_gain"])
    for name in ("best", "model"):
        config = json.loads((tmp_path / name / "config.json").read_text())
        assert config["codec"]["codes_sha256"] == SPEC.codes_sha256 and config["num_codebooks"] == 3
    fresh = build_music_model(settings.model, MusicDataset(settings.data, SPEC, PIECES, 3))
    load_music_weights(fresh, tmp_path / "best")
    kept = loop.task.average.module.lm.layers[0].feed_forward.w13.weight
    # One byte a weight: at most half a step of the row's largest.
    limit = 0.51 * kept.abs().amax() / 127
    assert (fresh.lm.layers[0].feed_forward.w13.weight - kept).abs().max() <= limit
    loop.task.best_loss = -1.0
    assert not loop.task.validate(tmp_path)["is_best"]


def test_every_preset_builds_a_model():
    assert {"music-nano", "music-small", "music-base", "music-large"} <= set(preset_names("music"))
    sizes = []
    for name in ("music-nano", "music-small", "music-base", "music-large"):
        settings = read_music_config(
            compose_preset("music", name, ["data.dir=a", "data.codec=b", "data.crop_frames=12"])
        )
        spec = ShardSpec("big", "0" * 64, 32000, 2560, (1024,) * 8)
        pieces = [CodedPiece("p", np.zeros((8, 20), np.int16), PIECES[0].labels, ("x",), False)]
        with torch.device("meta"):
            model = build_music_model(settings.model, MusicDataset(settings.data, spec, pieces, 8))
        sizes.append(sum(tensor.numel() for tensor in model.parameters()))
    assert sizes == sorted(sizes) and sizes[0] < 9e6 and sizes[-1] > 80e6


def test_too_many_codebooks_and_too_short_pieces_are_refused(tmp_path):
    with pytest.raises(BadSettings, match="n_codebooks is 5"):
        run(recipe(tmp_path, "model.n_codebooks=5"))
    with pytest.raises(BadSettings, match="crop_frames=41"):
        run(recipe(tmp_path, "data.crop_frames=41"))
