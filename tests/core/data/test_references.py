from dataclasses import replace

import numpy as np
import pytest

from core.data.recordings import Fold, Recordings
from core.data.references import (
    features,
    logistic_scores,
    majority_scores,
    paired_patient_bootstrap,
    part_of,
    patient_bootstrap,
    tree_scores,
)
from core.metrics.resampled import macro_f1


def recordings(count: int, seed: int) -> Recordings:
    """Two classes that the intensity tells apart, and a signal of 10 samples."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, count)
    static = rng.normal(size=(count, 4)).astype(np.float32)
    static[:, 1] += 8 * kind
    static[:, 3] = np.exp(static[:, 3])
    missing = np.full(count, np.nan, dtype=np.float32)
    return Recordings(
        signal=rng.normal(size=(count, 10)).astype(np.float32),
        sampling_rate_hz=15_000.0,
        unit="uV",
        patient=np.array([f"p{seed}-{index // 3}" for index in range(count)]),
        static=static,
        class_names=("a", "b", "never seen"),
        hearing_class=kind.astype(np.int64),
        threshold_db=missing,
        peak_exist=missing,
        peak_latency_ms=missing,
        peak_amplitude_uv=missing,
    )


FOLD = Fold(train=recordings(120, 1), val=recordings(60, 2))


@pytest.mark.parametrize("scores", [tree_scores, logistic_scores])
def test_classifiers_find_what_the_static_parameters_tell(scores) -> None:
    found = scores(FOLD, "static", "val")
    assert found.shape == (60, 3)
    assert (found[:, 2] == 0).all()
    assert found.sum(axis=1) == pytest.approx(np.ones(60))
    assert (found.argmax(axis=1) == FOLD.val.hearing_class).mean() > 0.95


def test_a_tree_sees_only_the_inputs_it_is_given() -> None:
    found = tree_scores(FOLD, ("signal", "age"), "val").argmax(axis=1)
    assert (found == FOLD.val.hearing_class).mean() < 0.75


def test_parameters_nobody_wrote_down_are_left_out() -> None:
    """An imported file may lack age, rate and FMP altogether: the level is enough here."""
    fold = Fold(train=level_only(FOLD.train), val=level_only(FOLD.val))
    found = tree_scores(fold, "static", "val").argmax(axis=1)
    assert (found == FOLD.val.hearing_class).mean() > 0.95


def level_only(table: Recordings) -> Recordings:
    """The recordings with every static parameter but the intensity missing."""
    return replace(table, static=np.where(np.arange(4) == 1, table.static, np.float32(np.nan)))


def test_trees_repeat_themselves() -> None:
    assert (tree_scores(FOLD, "all", "val") == tree_scores(FOLD, "all", "val")).all()


def test_majority_is_the_training_share() -> None:
    share = (FOLD.train.hearing_class == 1).mean()
    assert majority_scores(FOLD, "val")[0] == pytest.approx([1 - share, share, 0])


def test_features_are_bins_of_four_samples_and_the_logarithm_of_fmp() -> None:
    table = features(FOLD.val, "all")
    assert table.shape == (60, 2 + 4)
    assert table[:, 0] == pytest.approx(FOLD.val.signal[:, :4].mean(axis=1), abs=1e-6)
    assert table[:, 5] == pytest.approx(np.log(FOLD.val.static[:, 3]), abs=1e-6)


def test_a_missing_test_split_is_said() -> None:
    with pytest.raises(ValueError, match="no test recordings"):
        part_of(FOLD, "test")


def test_macro_f1_by_hand() -> None:
    # Truth a, a, a, b predicted a, a, b, b: F1 2*2/(3+2) and 2*1/(1+2); the third class does not occur.
    confusion = np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert macro_f1(confusion) == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert macro_f1(np.stack([confusion, 3 * confusion])) == pytest.approx([11 / 15, 11 / 15])


def test_a_prediction_never_beats_itself() -> None:
    truth = FOLD.val.hearing_class
    guess = np.roll(truth, 1)
    assert paired_patient_bootstrap(truth, guess, guess, FOLD.val.patient) == (0, 0, 0)


def test_pairing_finds_a_difference_that_single_intervals_hide() -> None:
    # 40 patients of two recordings, half of them hopeless for both; b misses three more recordings than a.
    truth = np.tile([0, 1], 40)
    patient = np.repeat([f"p{index}" for index in range(40)], 2)
    a = np.where(np.arange(80) < 40, 1 - truth, truth)
    b = a.copy()
    b[[45, 50, 55, 60, 65]] = 1 - b[[45, 50, 55, 60, 65]]
    paired = paired_patient_bootstrap(truth, a, b, patient)
    assert paired.low > 0
    assert paired.value == pytest.approx(5 / 80, abs=0.002)
    assert patient_bootstrap(truth, b, patient).high > patient_bootstrap(truth, a, patient).low


def test_interval_is_over_patients_not_over_recordings() -> None:
    # Copies of the same recordings add none: ten recordings of a patient are no more than one.
    rng = np.random.default_rng(0)
    truth, guess = rng.integers(0, 2, 60), rng.integers(0, 2, 60)
    patient = np.array([f"p{index}" for index in range(60)])
    once = patient_bootstrap(truth, guess, patient)
    tenfold = patient_bootstrap(np.repeat(truth, 10), np.repeat(guess, 10), np.repeat(patient, 10))
    assert tenfold == pytest.approx(once)


def test_weights_count_and_unknown_classes_do_not() -> None:
    truth, guess = np.array([0, 0, 1, -1]), np.array([0, 1, 1, 0])
    patient, weight = np.array(["a", "b", "c", "d"]), np.array([3.0, 1.0, 2.0, 9.0])
    # F1 of class 0: 2*3/(4+3); of class 1: 2*2/(2+3).
    assert patient_bootstrap(truth, guess, patient, weight).value == pytest.approx((6 / 7 + 4 / 5) / 2)
