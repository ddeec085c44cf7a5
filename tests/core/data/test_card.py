import json
from dataclasses import replace

import numpy as np
import pytest

from core.data.card import Section, describe, describe_fold, plain_text, shown
from core.data.card_baselines import TRIVIAL, baselines
from core.data.leakage import (
    explained_by_class,
    level_decides,
    patients_with_several_classes,
    same_waveform_in_several_patients,
    warnings_of,
)
from core.data.recordings import STATIC, Fold, Recordings
from core.metrics import Predictions, score


def table(classes, thresholds, exist, levels, patients, names=("NORMAL", "İTİK")) -> Recordings:
    count = len(classes)
    missing = np.full(count, np.nan, np.float32)
    static = np.full((count, 4), np.nan, np.float32)
    static[:, STATIC.index("intensity_db_nhl")] = levels
    seen = np.array(exist, np.float32)
    return Recordings(
        signal=np.random.default_rng(0).normal(size=(count, 30)).astype(np.float32),
        sampling_rate_hz=3_000.0,
        unit="uV",
        patient=np.array(patients),
        static=static,
        class_names=names,
        hearing_class=np.array(classes),
        threshold_db=np.array(thresholds, np.float32),
        peak_exist=seen,
        peak_latency_ms=np.where(seen == 1, np.arange(count, dtype=np.float32) / 4 + 5, missing),
        peak_amplitude_uv=missing,
    )


@pytest.fixture
def train() -> Recordings:
    return table(
        [0, 0, 0, 1, 1], [10, 10, 40, 50, 70], [1, 1, 0, 1, 0], [60, 40, 20, 60, 40], ["a", "a", "b", "c", "d"]
    )


@pytest.fixture
def val() -> Recordings:
    return table([0, 0, 0, 1], [20, 30, 40, 80], [1, 0, 1, 1], [60, 20, 30, 80], ["e", "e", "f", "g"])


def test_baselines_by_hand(train, val):
    found = {(b.predictor, b.metric): b.value for b in baselines([Fold(train=train, val=val)])}
    # NORMAL is the majority: 3 of 4 right; F1 of NORMAL 2*3/(3+4), of İTİK 0.
    assert found["majority class", "val/class/accuracy"] == pytest.approx(0.75)
    assert found["majority class", "val/class/f1_macro"] == pytest.approx((6 / 7) / 2)
    # The median of 10 10 40 50 70 is 40: errors 20 10 0 40.
    assert found["median threshold", "val/threshold/mae_db"] == pytest.approx(17.5)
    assert found["median threshold", "val/threshold/within_10_db"] == pytest.approx(0.5)
    # Mean of NORMAL 20, of İTİK 60: errors 0 10 20 20; truth 20 30 40 80 has the mean 42.5.
    assert found["mean threshold of the true class", "val/threshold/mae_db"] == pytest.approx(12.5)
    r2 = 1 - (0 + 100 + 400 + 400) / (22.5**2 + 12.5**2 + 2.5**2 + 37.5**2)
    assert found["mean threshold of the true class", "val/threshold/r2"] == pytest.approx(r2)
    # Visible in 3 of 4: F1 of always visible 2*3/(3+4).
    assert found["wave V always visible", "val/peak/exist_f1"] == pytest.approx(6 / 7)
    # From 40 dB on 4 of 5 training recordings are right, the first cut that reaches it: misses the one at 30 dB.
    assert found["visible from a level on", "val/peak/exist_f1"] == pytest.approx(2 * 2 / (2 * 2 + 1))
    assert found["visible from a level on", "val/peak/false_rate"] == 0


def test_baselines_are_fitted_on_training_recordings_only(train, val):
    changed = replace(val, threshold_db=val.threshold_db + 1)
    before, after = (
        {b.predictor: b.value for b in baselines([Fold(train=train, val=part)]) if b.metric == "val/threshold/mae_db"}
        for part in (val, changed)
    )
    # Had the median moved with the validation labels, its error would not have changed.
    assert after["median threshold"] == pytest.approx((19 + 9 + 1 + 41) / 4)
    assert before["median threshold"] == pytest.approx(17.5)


def test_metric_names_of_the_baselines_are_those_of_the_metrics(bump_recordings):
    recordings = bump_recordings(20)
    perfect = Predictions(
        class_probability=np.eye(5)[recordings.hearing_class],
        threshold_db=recordings.threshold_db,
        exist_probability=recordings.peak_exist,
        latency_ms=recordings.peak_latency_ms,
        amplitude_uv=recordings.peak_amplitude_uv,
        signal=recordings.clean,
    )
    scores = score(perfect, recordings, split="val")
    assert set(TRIVIAL) <= set(scores.values) | set(scores.absent)


def test_baselines_of_tasks_without_labels_are_left_out(train, val):
    nothing = {"hearing_class": -1, "threshold_db": np.nan, "peak_exist": np.nan, "peak_latency_ms": np.nan}
    bare = [
        replace(part, **{n: np.full_like(part.columns()[n], v) for n, v in nothing.items()}) for part in (train, val)
    ]
    assert baselines([Fold(train=bare[0], val=bare[1])]) == ()
    assert baselines([]) == ()


def test_few_patients_are_left_out_one_by_one_and_one_alone_not_at_all(train):
    card = describe(train, title="few")
    (section,) = [section for section in card.sections if section.title == "Trivial predictors"]
    assert section.remark == "Every patient held out once, scores pooled."
    # Held out a: median of 40 50 70 is 50, errors 40 40; b: 10 10 50 70 -> 30, 10; c: 10 10 40 70 -> 25, 25;
    # d: 10 10 40 50 -> 25, 45.
    assert ("median threshold", "val/threshold/mae_db", pytest.approx((40 + 40 + 10 + 25 + 45) / 5)) in section.rows
    alone = describe(train.take(train.patient == "a"), title="one")
    (section,) = [section for section in alone.sections if section.title == "Trivial predictors"]
    assert (section.rows, section.remark) == ((), "One patient only: nothing can be held out.")


def rows(card, title) -> list[dict]:
    return next(section["rows"] for section in card.to_json()["sections"] if section["title"] == title)


def test_card_counts_labels_and_values(train):
    card = describe(replace(train, notes=("a note of the importer",), facts={"experts/within_5_db": 0.75}), title="t")
    (counts,) = rows(card, "Recordings")
    assert (counts["recordings"], counts["patients"], counts["least"], counts["most"]) == (5, 4, 1, 2)
    (waveforms,) = rows(card, "Waveforms")
    assert (waveforms["unit"], waveforms["samples"], waveforms["Hz"]) == ("uV", 30, 3000.0)
    assert waveforms["ms"] == pytest.approx(10.0)
    labels = {row["label"]: (row["recordings"], row["share"]) for row in rows(card, "Labels")}
    assert labels["class"] == (5, 1.0)
    assert labels["wave V visible"] == labels["wave V latency"] == (3, 0.6)
    assert labels["wave V amplitude"] == (0, 0.0)
    values = {row["quantity"]: row for row in rows(card, "Values")}
    assert (values["threshold_db"]["mean"], values["threshold_db"]["median"]) == (36.0, 40.0)
    assert (values["intensity_db_nhl"]["least"], values["intensity_db_nhl"]["most"]) == (20.0, 60.0)
    assert (values["fmp"]["known"], values["fmp"]["mean"]) == (0, None)
    assert rows(card, "Came with the data") == [{"figure": "experts/within_5_db", "value": 0.75}]
    assert {"note": "a note of the importer"} in rows(card, "Mind")
    assert card.fingerprints == {"all": train.fingerprint()}


def test_classes_are_counted_with_their_imbalance_and_weights(train):
    weighted = replace(train, weight=np.array([1, 1, 1, 3, 3], np.float32))
    card = describe(replace(weighted, class_names=("NORMAL", "İTİK", "SNİK")), title="t")
    classes = {row["class"]: row for row in rows(card, "Classes")}
    assert [classes[name]["recordings"] for name in ("NORMAL", "İTİK", "SNİK")] == [3, 2, 0]
    assert [classes[name]["patients"] for name in ("NORMAL", "İTİK", "SNİK")] == [2, 2, 0]
    assert classes["İTİK"]["share"] == pytest.approx(0.4)
    assert classes["İTİK"]["weighted share"] == pytest.approx(6 / 9)
    (section,) = [section for section in card.sections if section.title == "Classes"]
    assert "all 1.5" in section.remark


def test_a_divided_set_has_a_row_and_a_fingerprint_for_each_part(train, val):
    extra = Section("Simulated against the clinic", ("quantity", "simulated"), (("wave V", 7.8),))
    card = describe_fold(Fold(train=train, val=val, test=val), title="divided", extra=[extra])
    assert [row["part"] for row in rows(card, "Recordings")] == ["train", "val", "test"]
    assert set(card.fingerprints) == {"train", "val", "test"}
    assert rows(card, "Simulated against the clinic") == [{"quantity": "wave V", "simulated": 7.8}]
    assert "3 patients occur in more than one part." in plain_text(card)


def test_card_is_json_without_nan_and_plain_text_without_escape_codes(train):
    card = describe(train, title="t.npz")
    assert json.loads(json.dumps(card.to_json(), allow_nan=False))["title"] == "t.npz"
    text = plain_text(card)
    assert train.fingerprint() in text
    assert "İTİK" in text
    assert "\x1b" not in text
    assert "mean threshold of the true class" in text


def test_cells_are_short_and_whole_numbers_whole():
    assert [shown(cell) for cell in (None, "uV", 1500, 20_000.0, 0.123456, 2.5)] == [
        "-",
        "uV",
        "1,500",
        "20,000",
        "0.1235",
        "2.5",
    ]


def test_a_row_must_fit_its_columns():
    with pytest.raises(ValueError, match="a row of 1 cells under 2 columns"):
        Section("t", ("a", "b"), (("only one",),))


# --- what gives labels away ---


def test_variance_explained_by_class():
    # Classes 0 0 1 1 with values 1 3 5 7: between 4, within 1, so 4/5.
    values = np.array([1, 3, 5, 7, 99], np.float32)
    assert explained_by_class(np.array([0, 0, 1, 1, -1]), values) == pytest.approx(0.8)
    assert explained_by_class(np.array([0, 0, 0, 0, -1]), values) is None
    assert explained_by_class(np.array([0, 0, 1, 1, -1]), np.full(5, np.nan, np.float32)) is None


def test_level_that_decides_is_found_and_one_exception_clears_it():
    step = table([0] * 4, [0] * 4, [0, 1, 0, 1], [10, 20, 30, 40], ["a", "a", "b", "b"])
    assert level_decides(step)
    assert not level_decides(replace(step, peak_exist=np.array([0, 1, 1, 0], np.float32)))
    assert not level_decides(replace(step, peak_exist=np.ones(4, np.float32)))
    between = table([0] * 6, [0] * 6, [0, 1, 0, 0, 1, 0], [10, 20, 30, 10, 20, 30], [*"aaabbb"])
    assert not level_decides(between)


def test_patients_with_several_classes_are_counted(train):
    assert patients_with_several_classes(train) == 0
    assert patients_with_several_classes(replace(train, hearing_class=np.array([0, 1, 0, 1, -1]))) == 1


def test_equal_waveforms_of_different_patients_are_found(train):
    copied = train.signal.copy()
    copied[1] = copied[0]  # both of patient a
    assert same_waveform_in_several_patients({"all": replace(train, signal=copied)}) == 0
    copied[3] = copied[0]  # patient c
    assert same_waveform_in_several_patients({"all": replace(train, signal=copied)}) == 1


def test_warnings_appear_with_their_cause(train, bump_recordings):
    # Thresholds: 384 of 544 dB2 between classes; levels: 24 of 224 dB2.
    assert warnings_of({"all": train}) == (
        "The class alone explains 71% of the variance of the threshold label: a threshold score means little without "
        "the mean of the class beside it.",
        "The class explains 11% of the variance of the intensity: through the test protocol the level tells of the "
        "class without any waveform.",
        "No recording is labelled with the amplitude of wave V: not learned, and not scored.",
    )
    late = replace(train, peak_latency_ms=np.array([9.9, 10.0, np.nan, 15, np.nan], np.float32))  # the sweep has 10 ms
    assert "2 waves V are labelled after the last sample, at 10.0 ms" in " ".join(warnings_of({"all": late}))
    told = " ".join(warnings_of({"train": replace(bump_recordings(30), weight=np.ones(30, np.float32))}))
    for part in ("Simulated recordings", "FMP is computed from the response", "Drawn by quota", "more than one class"):
        assert part in told
