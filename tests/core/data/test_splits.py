from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from core.data.recordings import Fold, Recordings
from core.data.splits import TooFewPatients, by_patient, k_fold, leave_one_patient_out, rarest_class


def table(pairs: list[tuple[str, int]]) -> Recordings:
    """A recording for each (patient, class), told apart by its threshold."""
    count = len(pairs)
    missing = np.full(count, np.nan, np.float32)
    return Recordings(
        signal=np.tile(np.array([0, 1], np.float32), (count, 1)),
        sampling_rate_hz=15_000.0,
        unit="uV",
        patient=np.array([patient for patient, _ in pairs]),
        static=np.full((count, 4), np.nan, np.float32),
        class_names=("NORMAL", "SNİK", "İTİK"),
        hearing_class=np.array([label for _, label in pairs]),
        threshold_db=np.arange(count, dtype=np.float32),
        peak_exist=missing,
        peak_latency_ms=missing,
        peak_amplitude_uv=missing,
    )


def parts(fold: Fold) -> list[Recordings]:
    return [part for part in (fold.train, fold.val, fold.test) if part is not None]


def assert_divides(folds: list[Fold], whole: Recordings) -> None:
    """No patient crosses, and every recording is used once in every fold."""
    for fold in folds:
        patients = [set(part.patient.tolist()) for part in parts(fold)]
        assert sum(map(len, patients)) == len(set.union(*patients))
        used = np.concatenate([part.threshold_db for part in parts(fold)])
        np.testing.assert_array_equal(np.sort(used), whole.threshold_db)
        assert all(len(part) for part in parts(fold))


pairs = st.lists(st.tuples(st.integers(0, 15).map("p{}".format), st.integers(-1, 2)), min_size=3, max_size=60)
seeds = st.integers(0, 2**32 - 1)


@given(pairs=pairs, val=st.floats(0.05, 0.45), test=st.sampled_from([0.0, 0.05, 0.3, 0.5]), seed=seeds)
@settings(max_examples=150, deadline=None)
def test_no_patient_crosses_whatever_the_patients(pairs, val, test, seed):
    whole = table(pairs)
    patients = len(set(whole.patient.tolist()))
    if patients < (3 if test else 2):
        with pytest.raises(TooFewPatients):
            by_patient(whole, val_share=val, test_share=test, seed=seed)
        return
    fold = by_patient(whole, val_share=val, test_share=test, seed=seed)
    assert (fold.test is None) == (test == 0)
    assert_divides([fold], whole)


@given(pairs=pairs, folds=st.integers(2, 5), seed=seeds)
@settings(max_examples=100, deadline=None)
def test_k_fold_holds_every_patient_out_once(pairs, folds, seed):
    whole = table(pairs)
    if len(set(whole.patient.tolist())) < folds:
        with pytest.raises(TooFewPatients):
            list(k_fold(whole, folds=folds, seed=seed))
        return
    divisions = list(k_fold(whole, folds=folds, seed=seed))
    assert len(divisions) == folds
    assert_divides(divisions, whole)
    held_out = np.concatenate([fold.val.threshold_db for fold in divisions])
    np.testing.assert_array_equal(np.sort(held_out), whole.threshold_db)


@given(pairs=pairs)
@settings(max_examples=50, deadline=None)
def test_leaving_one_out_holds_one_patient_out_at_a_time(pairs):
    whole = table(pairs)
    patients = sorted(set(whole.patient.tolist()))
    if len(patients) < 2:
        with pytest.raises(TooFewPatients):
            list(leave_one_patient_out(whole))
        return
    divisions = list(leave_one_patient_out(whole))
    assert [set(fold.val.patient.tolist()) for fold in divisions] == [{patient} for patient in patients]
    assert_divides(divisions, whole)


def test_the_rarest_class_of_a_patient_counts():
    # NORMAL 3 recordings, SNİK 2, İTİK 1: a has NORMAL and SNİK, b SNİK and İTİK, c nothing known.
    whole = table([("a", 0), ("a", 1), ("b", 1), ("b", 2), ("c", -1), ("d", 0), ("d", 0)])
    assert rarest_class(whole.patient, whole.hearing_class) == {"a": 1, "b": 2, "c": -1, "d": 0}


def count_by_class(part: Recordings) -> list[int]:
    return np.bincount(list(rarest_class(part.patient, part.hearing_class).values()), minlength=3).tolist()


def test_shares_hold_in_every_class():
    # 60 patients NORMAL, 30 SNİK, 10 İTİK, divided 0.6 : 0.2 : 0.2
    whole = table(
        [(f"{label}-{number}", label) for label, many in ((0, 60), (1, 30), (2, 10)) for number in range(many)]
    )
    for seed in range(5):
        fold = by_patient(whole, val_share=0.2, test_share=0.2, seed=seed)
        assert [count_by_class(part) for part in parts(fold)] == [[36, 18, 6], [12, 6, 2], [12, 6, 2]]


def test_a_class_of_three_patients_is_in_every_split_and_of_one_in_training():
    whole = table([*((f"n{number}", 0) for number in range(40)), ("s1", 1), ("s2", 1), ("s3", 1), ("i1", 2)])
    for seed in range(20):
        fold = by_patient(whole, val_share=0.15, test_share=0.15, seed=seed)
        assert [count_by_class(part)[1] for part in parts(fold)] == [1, 1, 1]
        assert [count_by_class(part)[2] for part in parts(fold)] == [1, 0, 0]


def test_a_patient_with_several_classes_stays_whole():
    whole = table([("both", 0), ("both", 2), ("n1", 0), ("n2", 0), ("i1", 2), ("i2", 2)])
    fold = by_patient(whole, val_share=0.3, test_share=0.3, seed=3)
    assert [("both" in part.patient) for part in parts(fold)].count(True) == 1
    assert_divides([fold], whole)


def test_the_seed_decides_and_the_order_of_the_rows_does_not():
    whole = table([(f"p{number}", number % 3) for number in range(30)])
    backwards = whole.take(np.arange(30)[::-1])
    first, again, turned, other = (
        set(by_patient(rows, val_share=0.2, test_share=0.2, seed=seed).val.patient.tolist())
        for rows, seed in ((whole, 1), (whole, 1), (backwards, 1), (whole, 2))
    )
    assert first == again == turned
    assert first != other


def test_data_without_classes_are_split_by_patient_alone():
    whole = replace(table([(f"p{number}", -1) for number in range(10)]), class_names=())
    fold = by_patient(whole, val_share=0.2, test_share=0.2, seed=0)
    assert [len(part) for part in parts(fold)] == [6, 2, 2]


def test_shares_must_leave_something_to_train_on():
    whole = table([(f"p{number}", 0) for number in range(10)])
    for val, test in ((0.5, 0.5), (0.9, 0.3), (-0.1, 0.2)):
        with pytest.raises(ValueError, match="leave no patients to train on"):
            by_patient(whole, val_share=val, test_share=test, seed=0)
    with pytest.raises(ValueError, match="at least 2 folds"):
        list(k_fold(whole, folds=1, seed=0))


def test_too_few_patients_are_counted():
    with pytest.raises(TooFewPatients, match="3 splits need at least 3 patients, the recordings have 2"):
        by_patient(table([("a", 0), ("b", 0), ("a", 0)]), val_share=0.2, test_share=0.2, seed=0)
