"""The split is by file, covers every file once, and does not move when a file is added."""

import pytest

from backend.data.datasets.pcm_paths import get_train_paths, get_valid_paths


def test_split_covers_all_files_and_survives_new_ones(tmp_path):
    for k in range(60):
        path = tmp_path / f"folder{k % 3}" / f"{k}.wav"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "notes.txt").write_text("")
    train, valid = get_train_paths(tmp_path), get_valid_paths(tmp_path)
    assert len(train) + len(valid) == 60 and not set(train) & set(valid)
    assert 1 <= len(valid) <= 15 and train == sorted(train)
    for k in range(60, 90):
        (tmp_path / f"{k}.WAV").write_bytes(b"")
    assert set(train) <= set(get_train_paths(tmp_path)) and set(valid) <= set(get_valid_paths(tmp_path))
    assert get_valid_paths(tmp_path, 0.0) == [] and get_train_paths(tmp_path, 1.0) == []
    with pytest.raises(FileNotFoundError):
        get_train_paths(tmp_path / "none")
