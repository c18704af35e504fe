"""Voice store: atomic writes, safe names, codec changes and adaptations."""

import json

import numpy as np
import pytest
import torch

from backend.audio.waveform import Waveform
from backend.codes import Codes
from backend.errors import BadVoice, StorageFull, UnknownVoice, VoiceExists
from backend.storage.voices import CODES, RECORD, SAMPLE, VoiceStore

SOUND = Waveform.of(np.sin(np.arange(8000) / 20).astype(np.float32) * 0.5, 8000)
CODES_OF_IT = Codes(torch.arange(60).reshape(1, 3, 20), "tiny")


@pytest.fixture
def store(tmp_path):
    return VoiceStore(tmp_path / "voices")


def add(store, name="Ada", consent=True, text="some words"):
    return store.add(name, text, SOUND, CODES_OF_IT, "hash-1", consent)


def test_stored_voice_round_trips(store, tmp_path):
    added = add(store)
    again = VoiceStore(tmp_path / "voices")
    assert again.all() == (added,)
    assert again.find("ada") == again.find(" ADA ") == again.find(added.id) == added
    assert torch.equal(again.codes(added).indices, CODES_OF_IT.indices)
    np.testing.assert_allclose(again.sample(added).samples, SOUND.samples, atol=1e-4)
    assert added.duration_s == 1.0 and "Ada" not in added.id


@pytest.mark.parametrize("consent", [False, None, 1, "yes"])
def test_voice_without_consent_is_rejected(store, consent):
    with pytest.raises(BadVoice, match="consent"):
        add(store, consent=consent)
    assert store.all() == ()


@pytest.mark.parametrize(
    "name", ["", "  ", "../../etc/passwd", "a/b", "a\\b", "C:", "x" * 65, ".hidden", "new\nline", "nul\0", "<b>", "a\n", None]
)  # fmt: skip
def test_unsafe_voice_names_are_rejected(store, name):
    if name == "a\n":  # stripped to a plain name
        assert add(store, name=name).name == "a"
        return
    with pytest.raises(BadVoice):
        add(store, name=name)
    assert store.all() == ()


@pytest.mark.parametrize("name", ["Ada", "Zoë O'Hara-Smith", "声 1", "narrator_2.b"])
def test_valid_voice_names_are_accepted(store, name):
    assert add(store, name=name).name == name


def test_voice_names_are_unique_after_normalization(store):
    add(store)
    with pytest.raises(VoiceExists):
        add(store, name="ＡDA")
    assert len(store.all()) == 1


def test_deleted_voice_is_removed_from_disk(store, tmp_path):
    added = add(store)
    assert store.delete("Ada") == added
    assert list((tmp_path / "voices").iterdir()) == []
    with pytest.raises(UnknownVoice, match="Ada"):
        store.delete("Ada")


@pytest.mark.parametrize("name", ["../voices", ".", "*", "Nobody\x1b[31m"])
def test_unknown_names_raise_errors_with_printable_messages(store, name):
    add(store)
    assert store.find(name) is None
    with pytest.raises(UnknownVoice) as error:
        store.delete(name)
    assert str(error.value).isprintable()
    assert len(store.all()) == 1


@pytest.mark.parametrize("failing", ["write_audio", "_write_codes", "_write_record"])
def test_failed_write_leaves_no_files(store, tmp_path, monkeypatch, failing):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"backend.storage.voices.{failing}", full)
    with pytest.raises(StorageFull, match="No space"):
        add(store)
    assert list((tmp_path / "voices").iterdir()) == []


def test_damaged_voices_are_skipped(store, tmp_path):
    good, bad, foreign = add(store), add(store, name="Bad"), add(store, name="Foreign")
    (tmp_path / "voices" / bad.id / RECORD).write_text("{", encoding="utf-8")
    path = tmp_path / "voices" / foreign.id / RECORD
    path.write_text(json.dumps({**json.loads(path.read_text()), "id": good.id}), encoding="utf-8")
    (tmp_path / "voices" / "stray").mkdir()
    assert store.all() == (good,)


@pytest.mark.parametrize("part", [CODES, SAMPLE])
def test_damaged_voice_files_raise_bad_voice(store, tmp_path, part):
    added = add(store)
    path = tmp_path / "voices" / added.id / part
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(BadVoice, match="add it again"):
        store.codes(added) if part == CODES else store.sample(added)


def test_replace_codes_updates_record_and_codes(store):
    added = add(store)
    renewed = store.replace_codes(added, Codes(torch.zeros(1, 2, 5, dtype=torch.long), "other"), "hash-2")
    assert (renewed.id, renewed.codec, renewed.codes_hash) == (added.id, "other", "hash-2")
    assert store.all() == (renewed,)
    assert store.codes(renewed).indices.shape == (1, 2, 5)


def test_partial_folders_are_not_listed(store, tmp_path):
    (tmp_path / "voices" / (".%s.part" % ("0" * 32))).mkdir(parents=True)
    assert store.all() == ()


def test_renamed_voice_keeps_its_id_and_codes(store):
    added = add(store)
    renamed = store.rename("ada", " Bea ")
    assert (renamed.id, renamed.name, renamed.created_at) == (added.id, "Bea", added.created_at)
    assert store.find("Ada") is None and store.find("bea") == renamed
    assert torch.equal(store.codes(renamed).indices, CODES_OF_IT.indices)
    assert store.rename(added.id, "BEA").name == "BEA", "changing only the case is allowed"


def test_rename_to_an_invalid_or_existing_name_is_rejected(store):
    added, other = add(store), add(store, name="Bea")
    with pytest.raises(VoiceExists):
        store.rename("Ada", "bea")
    with pytest.raises(BadVoice):
        store.rename("Ada", "../x")
    with pytest.raises(UnknownVoice):
        store.rename("Cleo", "Dora")
    assert store.all() == (added, other)


def test_replace_codes_keeps_a_concurrent_rename(store):
    added = add(store)
    store.rename("Ada", "Bea")
    assert store.replace_codes(added, CODES_OF_IT, "hash-2").name == "Bea"
    assert store.find(added.id).codes_hash == "hash-2"


def test_adaptation_is_stored_under_its_key(store, tmp_path):
    record = add(store)
    tensors = {"vector": torch.arange(5.0), "rows": torch.eye(3).to(torch.int8)}
    assert store.adaptation(record, "model 1") is None
    store.keep_adaptation(record, tensors, "model 1")
    found = VoiceStore(tmp_path / "voices").adaptation(record, "model 1")
    assert found.keys() == tensors.keys() and all(torch.equal(found[name], tensors[name]) for name in tensors)
    assert store.adaptation(record, "model 2") is None
    store.keep_adaptation(record, {"vector": tensors["vector"] + 1}, "model 2")
    assert store.adaptation(record, "model 1") is None
    assert torch.equal(store.adaptation(record, "model 2")["vector"], tensors["vector"] + 1)


@pytest.mark.parametrize("content", [b"", b"\xff" * 40])
def test_damaged_adaptation_is_ignored(store, tmp_path, content):
    record = add(store)
    store.keep_adaptation(record, {"vector": torch.full((5,), float("nan"))}, "model")
    assert store.adaptation(record, "model") is None
    (tmp_path / "voices" / record.id / "fitted.safetensors").write_bytes(content)
    assert store.adaptation(record, "model") is None
    with pytest.raises(UnknownVoice):
        store.delete(record.id)
        store.keep_adaptation(record, {"vector": torch.zeros(5)}, "model")


@pytest.mark.parametrize("rate_hz", [44_100, 65_537, 114_112, 192_000, 700_001])
def test_samples_of_any_rate_can_be_stored(store, rate_hz):
    sound = Waveform.of(np.sin(np.arange(rate_hz // 4) * (2 * np.pi * 440 / rate_hz)).astype(np.float32) * 0.5, rate_hz)
    record = store.add("Ada", "some words", sound, CODES_OF_IT, "hash-1", True)
    kept = store.sample(record)
    assert kept.rate_hz == min(rate_hz, 48_000)
    assert kept.duration_s == pytest.approx(0.25, abs=1e-3) and np.abs(kept.samples).max() > 0.4
