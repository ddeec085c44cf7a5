"""Scores by hand, scikit-learn as oracle, and the traps that hid collapse before."""

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as oracle

from core.data.recordings import Recordings
from core.metrics import Predictions, Values, perfect_value, score, trivial, trivial_scores, with_skill
from core.metrics.classes import calibration_error, class_metrics, class_table, recall_and_f1
from core.metrics.peaks import existence_metrics, latency_metrics
from core.metrics.signal import signal_metrics, wiener_filter, wiener_gain
from core.metrics.threshold import threshold_metrics
from core.metrics.values import auroc

CLASSES = ("NORMAL", "NÖROPATİ", "SNİK", "TOTAL", "İTİK")


def recordings(count: int = 300, seed: int = 0, **changed: object) -> Recordings:
    """A table of random numbers with every label, some missing."""
    rng = np.random.default_rng(seed)
    clean = np.sin(np.linspace(0, 6, 40)) * rng.uniform(0.2, 1, (count, 1))
    exist = (rng.random(count) < 0.75).astype(np.float32)
    seen = np.where(exist == 1, 1.0, np.nan)
    table = Recordings(
        signal=(clean + rng.normal(0, 0.3, clean.shape)).astype(np.float32),
        sampling_rate_hz=15000.0,
        unit="uV",
        patient=np.array([f"p{i // 4}" for i in range(count)]),
        static=rng.normal(size=(count, 4)).astype(np.float32),
        class_names=CLASSES,
        hearing_class=rng.choice(5, count, p=[0.6, 0.1, 0.1, 0.1, 0.1]),
        threshold_db=rng.uniform(0, 90, count).astype(np.float32),
        peak_exist=exist,
        peak_latency_ms=(seen * rng.normal(7.8, 1.5, count)).astype(np.float32),
        peak_amplitude_uv=(seen * rng.uniform(0.05, 0.4, count)).astype(np.float32),
        clean=clean.astype(np.float32),
        weight=rng.uniform(0.5, 2, count).astype(np.float32),
    )
    return replace(table, **changed)  # type: ignore[arg-type]


def guesses(table: Recordings, seed: int = 1) -> Predictions:
    """Predictions that have something to do with the labels."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(len(table), 5)) + 1.5 * np.eye(5)[table.hearing_class]
    return Predictions(
        class_probability=np.exp(logits) / np.exp(logits).sum(1, keepdims=True),
        threshold_db=table.threshold_db + rng.normal(0, 12, len(table)),
        exist_probability=np.clip(0.3 * table.peak_exist + rng.uniform(0, 0.8, len(table)), 0, 1),
        latency_ms=np.nan_to_num(table.peak_latency_ms, nan=7.0) + rng.normal(0, 0.5, len(table)),
        amplitude_uv=rng.uniform(0.05, 0.4, len(table)),
        signal=0.6 * table.signal,
    )


def classes_of(predicted: list[int], truth: list[int], weight: list[float] | None = None, **more: object) -> Values:
    """Class scores of hard predictions over five declared classes."""
    return class_metrics(
        np.eye(5)[predicted],
        np.array(truth),
        weight_N=np.array(weight or [1.0] * len(truth)),
        patient_N=np.array([f"p{i}" for i in range(len(truth))]),
        class_names=CLASSES,
        **more,  # type: ignore[arg-type]
    )


def test_macro_f1_takes_the_classes_of_the_split() -> None:
    # Nine NORMAL and one SNİK, all called NORMAL: F1 of NORMAL is 2 * .9 / 1.9 = .9474, of SNİK 0.
    scores = classes_of([0] * 10, [0] * 9 + [2]).values
    assert scores["f1_macro"] == pytest.approx(0.4737, abs=5e-5)  # not .1895, the mean over five declared classes
    assert scores["f1_macro"] == pytest.approx(2 * 0.9 / 1.9 / 2)
    assert [scores[f"count/{name}"] for name in CLASSES] == [9, 0, 1, 0, 0]
    assert (scores["f1/SNİK"], scores["recall/SNİK"], scores["balanced_accuracy"]) == (0, 0, 0.5)


def test_absent_classes_are_named_and_not_zero() -> None:
    scores = classes_of([0, 2, 2], [0, 2, 0], rare=("NÖROPATİ",))
    assert "f1/NÖROPATİ" not in scores.values
    assert scores.absent["f1/NÖROPATİ"] == "no recording of the split is NÖROPATİ"
    assert scores.absent["f1_rare"] == "no recording of the split is of a rare class"
    assert classes_of([0], [0]).absent["f1_rare"] == "the data name no rare classes"
    assert classes_of([0, 1], [0, 0]).absent["auroc_macro"] == "every recording of the split is NORMAL"


def test_rare_f1_is_the_mean_over_the_rare_classes_that_occur() -> None:
    # SNİK: one of two found, nothing wrongly called SNİK: F1 2/3. TOTAL found: 1. İTİK does not occur.
    scores = classes_of([0, 2, 0, 3], [0, 2, 2, 3], rare=("SNİK", "TOTAL", "İTİK"))
    assert scores.values["f1_rare"] == pytest.approx((2 / 3 + 1) / 2)


def test_shares_are_of_the_predictions_by_weight() -> None:
    # Weights 1, 1 and 2: half of the weight is called NORMAL, half SNİK, whatever is true.
    scores = classes_of([0, 0, 2], [2, 0, 0], [1.0, 1.0, 2.0]).values
    assert [scores[f"share/{name}"] for name in CLASSES] == [0.5, 0, 0.5, 0, 0]
    assert scores["largest_share"] == 0.5


def test_weights_act_like_repetition() -> None:
    weighted = classes_of([0, 1, 1, 2], [0, 1, 2, 2], [3.0, 1.0, 2.0, 1.0]).values
    repeated = classes_of([0, 0, 0, 1, 1, 1, 2], [0, 0, 0, 1, 2, 2, 2]).values
    for name in ("accuracy", "f1_macro", "ece", "largest_share", "prediction_entropy", "probability_sd", "auroc_macro"):
        assert weighted[name] == pytest.approx(repeated[name]), name


def test_collapsed_predictions_are_seen_by_their_spread() -> None:
    scores = classes_of([0] * 4, [0, 0, 1, 2]).values
    assert (scores["predicted_classes"], scores["largest_share"], scores["prediction_entropy"]) == (1, 1, 0)
    assert scores["probability_sd"] == 0
    assert scores["auroc_macro"] == 0.5
    # Two of four each: entropy log 2; probabilities of the two classes 1, 1, 0, 0 (sd .5), of the others constant.
    halves = classes_of([0, 0, 1, 1], [0, 0, 1, 2]).values
    assert halves["prediction_entropy"] == pytest.approx(math.log(2))
    assert halves["probability_sd"] == pytest.approx((0.5 + 0.5) / 5)


def test_calibration_error_by_hand() -> None:
    # Four at confidence .9, three right: gap .15. Two at .6, both right: gap .4. (4 * .15 + 2 * .4) / 6.
    probability = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 2)
    truth = np.array([0, 0, 0, 1, 0, 0])
    assert calibration_error(probability, truth, np.ones(6)) == pytest.approx(1.4 / 6)


def test_patient_scores_pool_recordings_of_one_class() -> None:
    # Patient a (class 0): .9 and .4 average to .65, right. Patient b carries 1 and 0: two units, the second wrong.
    probability = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]])
    scores = class_metrics(
        probability,
        np.array([0, 0, 1, 0]),
        weight_N=np.ones(4),
        patient_N=np.array(["a", "a", "b", "b"]),
        class_names=("x", "y"),
    )
    # Units: (a,0) -> 0, (b,1) -> 1, (b,0) -> 1. F1 of x: 2/3; of y: 2/3.
    assert scores.values["patient_f1_macro"] == pytest.approx(2 / 3)


def test_class_scores_agree_with_scikit_learn() -> None:
    table = recordings()
    probability = guesses(table).class_probability
    assert probability is not None
    y, p, w = table.hearing_class, probability.argmax(1), table.weight
    got = score(guesses(table), table, split="val").values
    assert got["val/class/accuracy"] == pytest.approx(oracle.accuracy_score(y, p, sample_weight=w))
    assert got["val/class/balanced_accuracy"] == pytest.approx(oracle.balanced_accuracy_score(y, p, sample_weight=w))
    assert got["val/class/f1_macro"] == pytest.approx(oracle.f1_score(y, p, average="macro", sample_weight=w))
    area = oracle.roc_auc_score(y, probability, multi_class="ovr", average="macro", sample_weight=w)
    assert got["val/class/auroc_macro"] == pytest.approx(area)


def test_threshold_scores_agree_with_scikit_learn_and_the_shares_sum_to_one() -> None:
    table = recordings()
    y, p, w = table.threshold_db, guesses(table).threshold_db, table.weight
    assert p is not None
    got = score(guesses(table), table, split="val").values
    assert got["val/threshold/mae_db"] == pytest.approx(oracle.mean_absolute_error(y, p, sample_weight=w))
    assert got["val/threshold/rmse_db"] == pytest.approx(oracle.root_mean_squared_error(y, p, sample_weight=w))
    assert got["val/threshold/r2"] == pytest.approx(oracle.r2_score(y, p, sample_weight=w))
    assert got["val/threshold/pearson"] == pytest.approx(
        np.cov(y, p, aweights=w)[0, 1] / math.sqrt(np.cov(y, p, aweights=w)[0, 0] * np.cov(y, p, aweights=w)[1, 1])
    )
    shares = [got[f"val/threshold/{name}"] for name in ("within_10_db", "over_rate", "under_rate")]
    assert sum(shares) == pytest.approx(1)


def test_threshold_by_hand() -> None:
    # Errors +4, -6, +12, 0 with weights 1, 1, 1, 3.
    truth = np.array([10.0, 20.0, 30.0, 40.0], dtype=np.float32)
    scores = threshold_metrics(truth + np.array([4, -6, 12, 0]), truth, np.array([1.0, 1.0, 1.0, 3.0])).values
    assert scores["mae_db"] == pytest.approx(22 / 6)
    assert scores["rmse_db"] == pytest.approx(math.sqrt(196 / 6))
    assert (scores["within_5_db"], scores["within_10_db"]) == (pytest.approx(4 / 6), pytest.approx(5 / 6))
    assert (scores["over_rate"], scores["under_rate"]) == (pytest.approx(1 / 6), 0)


@pytest.mark.parametrize("noise", [0.0, 1e-6])
def test_constant_predictions_leave_correlation_absent(noise: float) -> None:
    # float32 rounding of a constant 17.6 dB, as a network makes it, gave a "correlation" of 1e-7.
    truth = np.linspace(0, 60, 50, dtype=np.float32)
    predicted = np.full(50, 17.6) + noise * (np.arange(50) % 2)
    scores = threshold_metrics(predicted, truth, np.ones(50))
    assert scores.absent["pearson"] == "the predictions do not vary"
    assert scores.values["spread_ratio"] == 0
    assert scores.values["r2"] < 0


def test_constant_target_leaves_r2_absent() -> None:
    scores = threshold_metrics(np.array([19.0, 21.0]), np.array([20.0, 20.0]), np.ones(2))
    assert set(scores.absent) == {"r2", "pearson", "spread_ratio"}
    assert scores.values["mae_db"] == 1


def test_missing_labels_are_left_out() -> None:
    truth = np.array([20.0, np.nan, 40.0])
    scores = threshold_metrics(np.array([25.0, 1e6, 40.0]), truth, np.ones(3)).values
    assert scores["mae_db"] == 2.5
    nothing = threshold_metrics(np.ones(1), np.array([np.nan]), np.ones(1))
    assert not nothing.values
    assert set(nothing.absent.values()) == {"no recording of the split has a threshold"}


def test_existence_by_hand() -> None:
    # Visible: .9 .6 .2; absent: .7 .1. Precision 2/3, recall 2/3. AUROC: .9, .6, .2 beat 2, 1, 1 of 2: 4 of 6.
    probability, truth = np.array([0.9, 0.6, 0.2, 0.7, 0.1, 0.5]), np.array([1, 1, 1, 0, 0, np.nan])
    scores = existence_metrics(probability, truth, np.ones(6)).values
    assert scores == pytest.approx({"exist_f1": 2 / 3, "exist_auroc": 4 / 6, "false_rate": 0.5})


def test_always_positive_scores_the_documents_trivial_f1() -> None:
    # domain.md: wave V labelled in 74.6 to 78.9 %; always-positive F1 is 2p / (1 + p): .882 at p = .789.
    truth = np.array([1.0] * 789 + [0.0] * 211)
    scores = existence_metrics(np.ones(1000), truth, np.ones(1000)).values
    assert scores == pytest.approx({"exist_f1": 2 * 0.789 / 1.789, "exist_auroc": 0.5, "false_rate": 1.0})


def test_one_sided_existence_is_absent_with_its_reason() -> None:
    every = existence_metrics(np.array([0.7, 0.2]), np.ones(2), np.ones(2))
    assert set(every.values) == {"exist_f1"}
    assert set(every.absent) == {"exist_auroc", "false_rate"}
    nowhere = existence_metrics(np.array([0.7, 0.2]), np.zeros(2), np.ones(2))
    assert nowhere.values == {"false_rate": 0.5}
    assert set(nowhere.absent) == {"exist_f1", "exist_auroc"}


def test_latency_counts_only_labelled_waves() -> None:
    scores = latency_metrics(np.array([6.05, 7.5, 9.0]), np.array([6.0, 8.0, np.nan]), np.ones(3)).values
    assert scores["latency_mae_ms"] == pytest.approx(0.275)
    assert (scores["within_0.1_ms"], scores["within_1_ms"]) == (0.5, 1)
    # Two points always lie on a line; the sums of squares are .0025 + .25 against 2.
    assert scores["latency_pearson"] == pytest.approx(1)
    assert scores["latency_r2"] == pytest.approx(1 - 0.2525 / 2)


def test_signal_by_hand() -> None:
    truth = np.array([[1.0, -1.0], [3.0, -3.0], [0.0, 0.0]])
    recorded = truth + np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    predicted = truth + np.array([[0.5, -0.5], [-0.5, 0.5], [0.2, 0.2]])
    scores = signal_metrics(predicted, truth, recorded, np.ones(3)).values
    # The flat truth counts in mse only. Power 1 and 9, error .25 and .25, noise 1 and 1.
    assert scores["mse"] == pytest.approx((0.25 + 0.25 + 0.04) / 3)
    assert scores["snr_db"] == pytest.approx(10 * math.log10(5 / 0.25))
    assert scores["snr_gain_db"] == pytest.approx(10 * math.log10(1 / 0.25))
    assert scores["pearson"] == pytest.approx(1)


def test_a_flat_prediction_is_not_averaged_away() -> None:
    truth = np.array([[1.0, -1.0], [2.0, -2.0]])
    scores = signal_metrics(np.array([[1.0, -1.0], [0.3, 0.3]]), truth, truth + 1, np.ones(2))
    assert scores.absent == {"pearson": "1 predicted signals are constant"}
    assert "snr_db" in scores.values


def test_signal_without_truth_or_without_variation() -> None:
    x = np.ones((2, 3))
    assert set(signal_metrics(x, None, x, np.ones(2)).absent) == {"pearson", "snr_db", "snr_gain_db", "mse"}
    assert set(signal_metrics(x, np.full_like(x, np.nan), x, np.ones(2)).absent.values()) == {
        "the recordings have no noise-free truth"
    }
    flat = signal_metrics(x, 0 * x, x, np.ones(2))
    assert flat.values == {"mse": 1}
    half = signal_metrics(x, np.array([[0.0, 0, 0], [np.nan, 0, 0]]), x, np.ones(2))
    assert half.values == {"mse": 1}


def test_wiener_gain_is_the_share_of_signal_power() -> None:
    # With noise independent of the truth the gain tends to S / (S + N) = 1 / (1 + 4) at every frequency.
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 1, (20_000, 8))
    recorded = truth + rng.normal(0, 2, truth.shape)
    gain = wiener_gain(recorded, truth)
    assert np.abs(gain - 0.2).max() < 0.01
    # Error power S N / (S + N) = .8 against 4 without a filter.
    assert np.mean((wiener_filter(gain, recorded) - truth) ** 2) == pytest.approx(0.8, rel=0.02)


@pytest.mark.parametrize(
    ("part", "group"),
    [
        ("class_probability", "class"),
        ("threshold_db", "threshold"),
        ("exist_probability", "peak"),
        ("latency_ms", "peak"),
        ("amplitude_uv", "peak"),
        ("signal", "signal"),
    ],
)
def test_predictions_that_are_not_finite_are_absent(part: str, group: str) -> None:
    table = recordings()
    predictions = guesses(table)
    broken = getattr(predictions, part).copy()
    broken[np.flatnonzero(table.peak_exist == 1)[0]] = np.nan
    scores = score(replace(predictions, **{part: broken}), table, split="val")
    assert all(math.isfinite(value) for value in scores.values.values())
    assert any(name.startswith(f"val/{group}/") and "not finite" in why for name, why in scores.absent.items())


def test_every_metric_of_the_contract_is_scored_or_absent() -> None:
    table = recordings()
    scores = score(guesses(table), table, split="test")
    whole = set(scores.values) | set(scores.absent)
    for group, names in {
        "class": "accuracy balanced_accuracy f1_macro f1_rare f1/NORMAL recall/İTİK auroc_macro ece predicted_classes "
        "largest_share prediction_entropy probability_sd patient_f1_macro",
        "threshold": "mae_db rmse_db r2 pearson within_5_db within_10_db over_rate under_rate spread_ratio",
        "peak": "exist_f1 exist_auroc false_rate latency_mae_ms latency_r2 latency_pearson within_0.1_ms within_1_ms "
        "amplitude_mae_uv amplitude_r2",
        "signal": "pearson snr_db snr_gain_db mse",
    }.items():
        assert {f"test/{group}/{name}" for name in names.split()} <= whole
    unlabelled = replace(table, hearing_class=np.full(len(table), -1), class_names=(), clean=None)
    bare = score(guesses(table), unlabelled, split="test")
    assert bare.absent["test/class/accuracy"] == "no recording of the split has a class"
    assert not any(name.startswith(("test/class/", "test/signal/")) for name in bare.values)


def test_trivial_predictors_have_no_skill_and_the_perfect_one_has_all() -> None:
    train, val = recordings(seed=5), recordings(seed=6)
    baseline = trivial_scores([train], [val], val, split="val")
    own = with_skill(score(trivial(train, val), val, split="val"), baseline.values)
    skills = {name: value for name, value in own.values.items() if name.endswith(":skill")}
    assert skills["val/class/f1_macro:skill"] == 0
    assert {name: value for name, value in skills.items() if not name.startswith("val/signal")} == pytest.approx(
        {name: 0.0 for name in skills if not name.startswith("val/signal")}
    )
    perfect = Predictions(
        class_probability=np.eye(5)[val.hearing_class],
        threshold_db=val.threshold_db,
        exist_probability=val.peak_exist,
        latency_ms=val.peak_latency_ms,
        amplitude_uv=val.peak_amplitude_uv,
        signal=val.clean,
    )
    best = with_skill(score(perfect, val, split="val"), baseline.values)
    skills = {name: value for name, value in best.values.items() if name.endswith(":skill")}
    assert len(skills) > 30
    assert skills == pytest.approx(dict.fromkeys(skills, 1.0))
    assert "val/threshold/pearson:skill" in best.absent  # a constant has no correlation to stand beside
    assert "val/threshold/spread_ratio:skill" not in {*best.values, *best.absent}


def test_trivial_predictors_are_fitted_on_the_training_split() -> None:
    train, val = recordings(seed=5), recordings(seed=6)
    shifted = replace(val, threshold_db=val.threshold_db + 500, hearing_class=np.full(len(val), 4))
    assert trivial(train, val).threshold_db == pytest.approx(trivial(train, shifted).threshold_db)
    assert trivial(train, val).class_probability == pytest.approx(trivial(train, shifted).class_probability)
    scores = trivial_scores([train], [shifted], shifted, split="val").values
    assert scores["val/class/accuracy"] == 0  # the training majority, not that of the split
    assert scores["val/threshold/mae_db"] > 400


def test_signal_baseline_is_the_better_of_recording_and_wiener_filter() -> None:
    train, val = recordings(seed=5), recordings(seed=6)
    baseline = trivial_scores([train], [val], val, split="val").values
    plain = score(trivial(train, val), val, split="val").values
    assert plain["val/signal/snr_gain_db"] == pytest.approx(0, abs=1e-6)
    assert baseline["val/signal/snr_gain_db"] > 3
    assert baseline["val/signal/mse"] < plain["val/signal/mse"] / 2


def test_the_wiener_filter_is_fitted_on_the_training_split() -> None:
    # With the truth of the scored split turned over, a filter fitted there would turn the recordings over too.
    train, val = recordings(seed=5), recordings(seed=6)
    assert train.clean is not None
    assert val.clean is not None
    turned = replace(val, clean=-val.clean, weight=None)
    baseline = trivial_scores([train], [turned], turned, split="val").values["val/signal/mse"]
    filtered = wiener_filter(wiener_gain(train.signal, train.clean), turned.signal)
    candidates = [np.mean((guess + val.clean) ** 2) for guess in (turned.signal, filtered)]
    assert baseline == pytest.approx(min(candidates))


def test_perfect_values_are_of_whole_names() -> None:
    assert perfect_value("val/class/f1/İTİK") == 1
    assert perfect_value("test/threshold/mae_db") == 0
    assert perfect_value("val/class/largest_share") is None
    assert perfect_value("val/signal/snr_db") is None


def test_ranks_of_different_models_do_not_mix() -> None:
    # Two held-out subjects, each ranked perfectly by its own model; the second model says less throughout. Pooled,
    # 3 of the 4 pairs (visible, not visible) are in order: .3 lies below the first subject's .8.
    first = Predictions(exist_probability=np.array([1.0, 0.8]))
    second = Predictions(exist_probability=np.array([0.3, 0.1]))
    together = Predictions.joined([first, second])
    assert together.fold is not None
    assert together.fold.tolist() == [0, 0, 1, 1]
    truth, ones = np.array([1.0, 0.0, 1.0, 0.0]), np.ones(4)
    within = existence_metrics(together.exist_probability, truth, ones, together.fold).values
    pooled = existence_metrics(together.exist_probability, truth, ones).values
    assert within["exist_auroc"] == pytest.approx(1.0)
    assert pooled["exist_auroc"] == pytest.approx(0.75)


def test_an_area_needs_a_fold_with_both() -> None:
    truth, fold = np.array([1.0, 1.0, 0.0, 0.0]), np.array([0, 0, 1, 1])
    values = existence_metrics(np.array([0.9, 0.8, 0.1, 0.2]), truth, np.ones(4), fold)
    assert "exist_auroc" not in values.values
    assert "fold" in values.absent["exist_auroc"]


def test_the_class_table_counts_by_truth_and_prediction() -> None:
    """Four recordings of which one has no class; the confidences .9 and .8 lie in other fifteenths than .6."""
    probability = np.array([[0.9, 0.1], [0.4, 0.6], [0.8, 0.2], [0.5, 0.5]])
    table = class_table(probability, np.array([0, 0, 0, -1]), np.array([1.0, 1.0, 3.0, 1.0]))
    assert table is not None
    # Rows are true classes: two of the first are called the first, one the second.
    assert table.counts_CC.tolist() == [[2, 1], [0, 0]]
    assert [(low, high) for low, high, *_ in table.bins] == [
        (8 / 15, 9 / 15),
        (11 / 15, 12 / 15),
        (13 / 15, 14 / 15),
    ]
    for row, expected in zip(table.bins, [(0.6, 0, 1), (0.8, 1, 1), (0.9, 1, 1)], strict=True):
        assert row[2:] == pytest.approx(expected)


def test_bins_of_the_class_table_make_up_the_calibration_error() -> None:
    table, said = recordings(), guesses(recordings())
    assert said.class_probability is not None
    weight = np.ones(len(table))
    bins = class_table(said.class_probability, table.hearing_class, weight)
    assert bins is not None
    by_bins = sum(count * abs(accuracy - confidence) for _, _, confidence, accuracy, count in bins.bins) / len(table)
    assert by_bins == pytest.approx(calibration_error(np.asarray(said.class_probability), table.hearing_class, weight))


def test_without_classes_there_is_no_class_table() -> None:
    assert class_table(None, np.array([0]), np.ones(1)) is None
    assert class_table(np.ones((1, 2)) / 2, np.array([-1]), np.ones(1)) is None


def test_what_is_counted_here_is_what_scikit_learn_counts() -> None:
    """Counting is several times quicker: with ties, weights, and classes nobody has or nobody predicts."""
    random = np.random.default_rng(5)
    truth_N, predicted_N = random.integers(0, 4, 500), random.choice([0, 1, 3, 4], 500)
    weight_N, score_N = random.uniform(0.1, 3, 500), random.integers(0, 9, 500) / 8
    recall_C, f1_C = recall_and_f1(truth_N, predicted_N, weight_N, 6)
    _, recall, f1, _ = oracle.precision_recall_fscore_support(
        truth_N, predicted_N, labels=range(6), sample_weight=weight_N, zero_division=0.0
    )
    assert recall_C.tolist() == recall.tolist()
    assert f1_C == pytest.approx(f1, rel=1e-15)
    true_N = truth_N == 2
    assert auroc(true_N, score_N, weight_N, None) == pytest.approx(
        oracle.roc_auc_score(true_N, score_N, sample_weight=weight_N), rel=1e-12
    )
