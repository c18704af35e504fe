import numpy as np
import pytest

from backend.errors import NotAvailable, ScoreUnavailable
from backend.metrics import note_f1 as module
from backend.metrics.note_f1 import HeardNote, NoteListener, find_notes, note_f1

NOTES = [HeardNote(0.5, 60), HeardNote(1.0, 64), HeardNote(1.5, 60)]


def test_notes_agree_in_pitch_and_start():
    assert note_f1(NOTES, NOTES) == 1.0
    assert note_f1(NOTES, [HeardNote(0.54, 60), HeardNote(1.0, 65)]) == pytest.approx(2 / 5)
    assert note_f1(NOTES, [HeardNote(0.56, 60)]) == 0.0


def test_a_note_agrees_with_one_only():
    assert note_f1([HeardNote(0.5, 60)], [HeardNote(0.48, 60), HeardNote(0.52, 60)]) == pytest.approx(2 / 3)


def test_no_notes_give_no_score():
    with pytest.raises(ScoreUnavailable, match="No note"):
        note_f1([], NOTES)


def test_an_onset_counts_only_if_its_note_lasts():
    note, onset = np.zeros((40, 88)), np.zeros((40, 88))
    onset[5, 39], note[5:20, 39] = 0.9, 0.8
    onset[5, 43], note[5:9, 43] = 0.9, 0.8
    assert find_notes(note, onset) == [HeardNote(5 * 256 / 22_050, 60)]


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    monkeypatch.setattr(module, "require_package", lambda *names: None)
    with pytest.raises(NotAvailable, match="basic-pitch"):
        NoteListener()
