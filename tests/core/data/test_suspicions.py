from dataclasses import replace

import numpy as np
import pytest

from core.data.concatenate import concatenate
from core.data.recordings import Fold
from core.data.suspicions import fold_suspicions, similar_patients, suspicions


@pytest.fixture
def table(bump_recordings):
    return replace(bump_recordings(12), patient=np.array([f"p{row // 3}" for row in range(12)]))


def test_sound_recordings_raise_no_suspicion(table):
    assert list(suspicions(table)) == []
    assert list(fold_suspicions(Fold(train=table, val=table.take(np.arange(0))))) != []


def test_a_recording_that_stands_twice_is_named_with_both_places(table):
    signal = table.signal.copy()
    signal[[5, 8]] = signal[[3, 2]]  # 3 and 5 are of one patient, 2 and 8 are not
    (told,) = suspicions(replace(table, signal=signal))
    assert told.endswith("counts twice: recordings 3 and 5.")


@pytest.mark.parametrize(
    ("one", "other"), [("7", "07"), ("7", "7.0"), ("Anna", "anna "), ("p 1", "p1"), ("p01", "p1"), ("é", "e\u0301")]
)
def test_patients_in_two_spellings(table, one, other):
    names = np.array([one, other, *(f"x{row}" for row in range(10))])
    assert similar_patients(replace(table, patient=names)) == [sorted([one, other])]


def test_other_patients_are_others(table):
    names = np.array(["10", "1", "100", "1.5", "15", "p10", "p1", "0", "p0", "00a1", "b", "c"])
    assert similar_patients(replace(table, patient=names)) == []


def test_labels_and_classes_that_are_nowhere(table):
    nowhere = np.full(12, np.nan, np.float32)
    told = list(suspicions(replace(table, threshold_db=nowhere, hearing_class=np.arange(12) % 3)))
    assert told == [
        "No recording is labelled with a threshold: not learned, and not scored.",
        "No recording is of class TOTAL, İTİK: not learned, and not scored.",
    ]
    (told,) = suspicions(replace(table, hearing_class=np.full(12, -1)))
    assert told == "No recording is labelled with a class: not learned, and not scored."


def test_of_one_class_alone_nothing_can_be_told_apart(table):
    told = list(suspicions(replace(table, hearing_class=np.where(np.arange(12) < 2, -1, 3))))
    assert told[0].startswith("Every recording with a class is of TOTAL: there is nothing to tell apart")
    assert not any(line.startswith("Every") for line in suspicions(table))


def test_what_one_part_lacks_is_told_of_that_part_alone(table):
    nobody = np.full(12, np.nan, np.float32)
    train = replace(table, hearing_class=np.arange(12) % 4, threshold_db=nobody)
    val = replace(table, signal=table.signal + 1, hearing_class=np.arange(12) % 2 + 3, peak_latency_ms=nobody)
    assert list(fold_suspicions(Fold(train=train, val=val))) == [
        "No recording trained on is of class İTİK: it cannot be learned.",
        "No recording trained on is labelled with a threshold: it cannot be learned.",
        "No recording validating is of class NORMAL, NÖROPATİ, SNİK: its scores there are absent.",
        "No recording validating is labelled with the latency of wave V: its scores there are absent.",
    ]


def test_waveforms_on_both_sides_of_a_split(table):
    train, val = table.take(np.arange(6)), table.take(np.arange(4, 12))
    told = " ".join(fold_suspicions(Fold(train=train, val=val)))
    assert "2 recordings validating have a waveform that is also trained on" in told


def test_patients_in_two_files_are_named_with_them(table):
    other = replace(table, patient=np.array(["p3"] * 6 + ["q"] * 6))
    joined = concatenate([table, other], ["a.csv", "b.csv"])
    assert joined.notes == ("Patients in more than one file are taken to be the same person: p3 (a.csv, b.csv).",)
