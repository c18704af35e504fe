"""Token shards on disk, and batches from them."""

import json

import numpy as np
import pytest

from backend.data.token_batches import TokenBatches
from backend.data.token_shards import INDEX, NO_SYMBOL, CodedUtterance, ShardDataset, ShardSpec, ShardWriter
from backend.errors import BadContainer, BadSettings

SPEC = ShardSpec("spectral", "ab" * 32, 24_000, 960, (1024, 1024))


def utterance(number, n_frames=None, speaker=None, is_aligned=True):
    random = np.random.default_rng(number)
    n_frames = n_frames or int(random.integers(10, 60))
    alignment = np.sort(random.integers(0, 7, n_frames)) if is_aligned else np.full(n_frames, NO_SYMBOL)
    return CodedUtterance(
        f"u{number}", f"text {number}", "həlˈO", speaker or f"s{number % 5}",
        random.integers(0, 1024, (2, n_frames)).astype(np.int16), alignment.astype(np.int16),
    )  # fmt: skip


def written(folder, numbers, **options):
    writer = ShardWriter(folder, SPEC)
    items = [utterance(number, **options) for number in numbers]
    for start in range(0, len(items), 7):
        writer.write(items[start : start + 7])
    return items


def same(one, other):
    facts = ("id", "text", "symbols", "speaker")
    assert [getattr(one, fact) for fact in facts] == [getattr(other, fact) for fact in facts]
    np.testing.assert_array_equal(one.codes, other.codes)
    np.testing.assert_array_equal(one.alignment, other.alignment)
    assert one.codes.dtype == one.alignment.dtype == np.int16


def test_round_trip(tmp_path):
    items = written(tmp_path, range(20))
    dataset = ShardDataset(tmp_path)
    assert len(dataset) == 20 and dataset.spec == SPEC and dataset.speakers == ("s0", "s1", "s2", "s3", "s4")
    for one, other in zip(items, dataset, strict=True):
        same(one, other)
    assert dataset.duration_s == pytest.approx(sum(item.n_frames for item in items) * 0.04)


def test_writing_resumes(tmp_path):
    written(tmp_path, range(10))
    (tmp_path / "shard-00002.safetensors").write_bytes(b"torn off before the index was replaced")
    writer = ShardWriter(tmp_path, SPEC)
    assert writer.written == {f"u{number}" for number in range(10)}
    writer.write([utterance(10)])
    assert [item.id for item in ShardDataset(tmp_path)] == [f"u{number}" for number in range(11)]


def test_codes_of_another_codec_are_rejected(tmp_path):
    written(tmp_path, range(3))
    with pytest.raises(BadContainer, match="Tokenize again with the codec in use"):
        ShardDataset(tmp_path, codes_sha256="cd" * 32)
    with pytest.raises(BadContainer, match="delete that one"):
        ShardWriter(tmp_path, ShardSpec("spectral", "cd" * 32, 24_000, 960, (1024, 1024)))


def test_folders_of_one_codec_are_read_together(tmp_path):
    written(tmp_path / "a", range(3))
    written(tmp_path / "b", range(3, 5))
    assert [item.id for item in ShardDataset([tmp_path / "a", tmp_path / "b"])] == ["u0", "u1", "u2", "u3", "u4"]


@pytest.mark.parametrize("harm", ["flip", "cut", "lose", "index", "format"])
def test_damage_is_detected(tmp_path, harm):
    written(tmp_path, range(3))
    shard, index = tmp_path / "shard-00000.safetensors", tmp_path / INDEX
    content = bytearray(shard.read_bytes())
    if harm == "flip":
        content[-1] ^= 1
        shard.write_bytes(content)
    elif harm == "cut":
        shard.write_bytes(content[:-1])
    elif harm == "lose":
        shard.unlink()
    elif harm == "index":
        index.write_text("{")
    else:
        index.write_text(json.dumps(json.loads(index.read_text()) | {"format": 9}))
    with pytest.raises(BadContainer, match="okenize"):
        ShardDataset(tmp_path)


def test_reference_is_another_utterance_of_the_speaker(tmp_path):
    written(tmp_path, range(20))
    dataset = ShardDataset(tmp_path)
    random = np.random.default_rng(0)
    others = {dataset.another_of(6, random) for _ in range(100)}
    assert others == {1, 11, 16}


def test_single_utterance_is_its_own_reference(tmp_path):
    written(tmp_path, range(2))
    assert ShardDataset(tmp_path).another_of(1, np.random.default_rng(0)) == 1


@pytest.fixture
def dataset(tmp_path):
    written(tmp_path, range(60))
    return ShardDataset(tmp_path)


def epoch(batches):
    return [batches.next() for _ in range(batches.n_batches)]


def test_epoch_contains_every_utterance_once_within_the_limit(dataset):
    found = epoch(TokenBatches(dataset, 200))
    assert sorted(name for batch in found for name in batch.ids) == sorted(item.id for item in dataset)
    assert all(batch.codes.shape[0] * batch.codes.shape[2] <= 200 for batch in found)


def test_batches_contain_padded_utterances(dataset):
    by_id = {item.id: item for item in dataset}
    for batch in epoch(TokenBatches(dataset, 200)):
        for row, name in enumerate(batch.ids):
            item, n = by_id[name], batch.n_frames[row]
            assert n == item.n_frames and batch.symbols[row] == item.symbols
            np.testing.assert_array_equal(batch.codes[row, :, :n], item.codes)
            np.testing.assert_array_equal(batch.alignment[row, :n], item.alignment)
            assert not batch.codes[row, :, n:].any() and (batch.alignment[row, n:] == NO_SYMBOL).all()
            assert dataset.speakers[batch.speaker_index[row]] == item.speaker


def test_similar_lengths_are_batched_together(dataset):
    found = epoch(TokenBatches(dataset, 200))
    padded = sum(batch.codes.shape[0] * batch.codes.shape[2] for batch in found)
    assert dataset.n_frames.sum() / padded > 0.9


def test_references_are_of_the_speaker_and_cropped(dataset):
    for batch in epoch(TokenBatches(dataset, 200, max_reference_frames=12)):
        assert batch.reference_frames.max() <= 12
        for row, name in enumerate(batch.ids):
            own = dataset.speakers[batch.speaker_index[row]]
            codes = batch.reference_codes[row, :, : batch.reference_frames[row]]
            sources = [item for item in dataset if item.speaker == own and item.id != name]
            assert any(
                np.array_equal(item.codes[:, i : i + codes.shape[1]], codes)
                for item in sources for i in range(item.n_frames)
            )  # fmt: skip


def test_stream_is_deterministic_and_epochs_differ(dataset):
    one, other = TokenBatches(dataset, 200, seed=4), TokenBatches(dataset, 200, seed=4)
    first, second = epoch(one), epoch(one)
    assert [b.ids for b in first] == [b.ids for b in epoch(other)]
    assert [b.ids for b in first] != [b.ids for b in second]
    assert [b.ids for b in first] != [b.ids for b in epoch(TokenBatches(dataset, 200, seed=5))]


@pytest.mark.parametrize("steps", [0, 3, 40])
def test_resuming_from_a_position_gives_the_same_batches(dataset, steps):
    one = TokenBatches(dataset, 200)
    for _ in range(steps):
        one.next()
    other = TokenBatches(dataset, 200)
    other.position = one.position
    for _ in range(5):
        mine, theirs = one.next(), other.next()
        assert mine.ids == theirs.ids
        np.testing.assert_array_equal(mine.reference_codes, theirs.reference_codes)


def test_long_and_unaligned_utterances_are_left_out_and_counted(tmp_path):
    written(tmp_path, range(3), n_frames=20)
    written(tmp_path, range(3, 5), n_frames=90)
    written(tmp_path, range(5, 9), n_frames=20, is_aligned=False)
    batches = TokenBatches(ShardDataset(tmp_path), 80, is_aligned_only=True)
    assert sorted(name for batch in epoch(batches) for name in batch.ids) == ["u0", "u1", "u2"]
    assert batches.n_left_out == 6
    with pytest.raises(BadSettings, match="Raise the limit"):
        TokenBatches(ShardDataset(tmp_path), 10)
