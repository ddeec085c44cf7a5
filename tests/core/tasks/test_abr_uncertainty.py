"""How sure the ABR model says it is, from training to the table of predictions."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from abr_tune.plan.metric_names import METRICS
from core.data.recordings import Fold, Recordings
from core.data.tensors import as_batch
from core.metrics import Predictions
from core.report import EpochReport
from core.tasks.abr import AbrTask
from core.tasks.abr_calibration import INTERVALS, Calibration, applied_to_its_own, calibrated
from core.tasks.abr_data import AbrDataset
from core.tasks.abr_options import AbrOptions
from core.tasks.abr_weights import About, load_model, predictions

BumpRecordings = Callable[..., Recordings]
TASK = AbrTask()
OPTIONS = {
    "epochs": 2,
    "batch_size": 16,
    "model": {
        "heads": {"class": {"temperature": True}, "threshold": {"paths": "global_local"}, "peaks": {"blocks": 1}}
    },
    "loss": {"regression": "gaussian_nll", "outliers": 0.05},
}


@pytest.fixture(scope="module")
def data(bump_recordings: BumpRecordings) -> AbrDataset:
    fold = Fold(train=bump_recordings(60), val=bump_recordings(90, seed=1), test=bump_recordings(60, seed=2))
    return AbrDataset(folds=(fold,), fingerprint="bumps")


@pytest.fixture(scope="module")
def model(data: AbrDataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[EpochReport, Path]:
    folder = tmp_path_factory.mktemp("run")
    report = list(TASK.train(AbrOptions.model_validate(OPTIONS), seed=3, checkpoint=folder, data=data))[-1]
    return report, folder / "epoch-000002" / "model.safetensors"


def test_saved_weights_are_as_sure_as_in_training(data: AbrDataset, model: tuple[EpochReport, Path]) -> None:
    report, weights = model
    scores = TASK.evaluate(weights, data=data, split="val")
    assert scores.metrics == report.metrics
    assert scores.absent == report.absent
    for name in ("threshold/nll", "peak/latency_interval_width_ms", "peak/amplitude_coverage_90", "class/ece_raw"):
        assert f"val/{name}" in report.metrics
        assert f"test/{name}" in TASK.evaluate(weights, data=data, split="test").metrics
    assert {"val/threshold/coverage_90", "val/threshold/nll", "val/class/nll"} <= set(scores.baselines)


def test_metrics_that_can_be_searched_by_are_those_there_are(model: tuple[EpochReport, Path]) -> None:
    report, _ = model
    searched = {f"val/{group}/{metric}" for group, metrics in METRICS.items() for metric in metrics}
    assert searched <= {*report.metrics, *report.absent}


def test_the_temperature_is_stored_and_used(data: AbrDataset, model: tuple[EpochReport, Path]) -> None:
    report, weights = model
    found = load_model(weights).about.temperature
    assert found != 1.0
    assert report.metrics["val/class/nll"] < report.metrics["val/class/nll_raw"]
    with safe_open(weights, framework="np") as file:
        assert json.loads(file.metadata()["about"])["temperature"] == found
    val = data.folds[0].val
    table = TASK.predict(weights, val)
    probability = table[[f"probability/{name}" for name in val.class_names]].to_numpy()
    true = probability[np.arange(len(val)), val.hearing_class]
    assert -np.log(true).mean() == pytest.approx(report.metrics["val/class/nll"])
    hot = replace(load_model(weights).about, temperature=1e6)
    assert hot.calibration.applied(Predictions(class_probability=probability)).class_probability == pytest.approx(
        0.2, abs=1e-4
    )


def test_intervals_are_a_multiple_of_the_spread(data: AbrDataset, model: tuple[EpochReport, Path]) -> None:
    report, weights = model
    val = data.folds[0].val
    table = TASK.predict(weights, val)
    trained = load_model(weights)
    multiples, about = trained.about.intervals, trained.about
    raw = predictions(trained.networks[0], about.scalings[0], as_batch(val), trained=about.trained)
    for column, label, name in (
        ("threshold_db", val.threshold_db, "threshold_db"),
        ("wave_v_latency_ms", val.peak_latency_ms, "latency_ms"),
        ("wave_v_amplitude_uv", val.peak_amplitude_uv, "amplitude_uv"),
    ):
        half, spread = table[f"{column}_plus_minus"].to_numpy(), getattr(raw, INTERVALS[name].sd)
        assert half == pytest.approx(multiples[name] * spread, rel=1e-5)
        assert len(np.unique(spread)) > 80
        known = np.isfinite(label)
        assert (np.abs(table[column] - label) <= half * (1 + 1e-6))[known].mean() >= 0.9
    assert ((table["threshold_outlier_probability"] > 0) & (table["threshold_outlier_probability"] < 1)).all()
    # On its own recordings each half of the patients is judged by the other.
    assert 0.7 < report.metrics["val/threshold/coverage_90"] < 1


def test_coverage_is_never_of_what_the_interval_was_made_from(bump_recordings: BumpRecordings) -> None:
    recordings = bump_recordings(60)  # twenty patients, three recordings each
    random = np.random.default_rng(0)
    # The first, third, ... patient is predicted ten times as badly.
    bad = np.repeat(np.arange(20) % 2 == 0, 3)
    order = np.argsort(np.argsort(recordings.patient, kind="stable"), kind="stable")
    error = np.where(bad[order], 10.0, 1.0) * random.uniform(0.5, 1.5, 60)
    said = Predictions(threshold_db=recordings.threshold_db + error)
    calibration = calibrated(said, recordings, temperature=False)
    own = calibration.applied(said).threshold_plus_minus_db
    assert own is not None
    assert (error <= own).mean() >= 0.9
    crossed = applied_to_its_own(calibration, said, recordings).threshold_plus_minus_db
    assert crossed is not None
    # The good ones lie within what the bad ones need, and not the other way round.
    assert (error <= crossed).mean() == pytest.approx(0.5)


def test_without_a_label_in_both_halves_there_is_no_interval_to_score(bump_recordings: BumpRecordings) -> None:
    recordings = bump_recordings(6)
    first = np.where(recordings.patient == "p0", recordings.threshold_db, np.nan).astype(np.float32)
    alone = replace(recordings, threshold_db=first)
    said = Predictions(threshold_db=np.zeros(6))
    calibration = calibrated(said, alone, temperature=True)
    assert set(calibration.intervals) == {"threshold_db"}
    assert applied_to_its_own(calibration, said, alone).threshold_plus_minus_db is None


def test_intervals_name_fields_that_are_there(bump_recordings: BumpRecordings) -> None:
    recordings = bump_recordings(1)
    for name, interval in INTERVALS.items():
        assert {name, interval.sd, interval.plus_minus} <= set(Predictions.__slots__)
        assert interval.label in recordings.columns()


def test_a_calibration_of_older_weights_changes_nothing(model: tuple[EpochReport, Path]) -> None:
    record = load_model(model[1]).about.to_json()
    del record["temperature"]
    about = About.from_json(record)
    assert about.calibration == Calibration(intervals=about.intervals)
    said = Predictions(class_probability=np.array([[0.25, 0.75]]))
    assert about.calibration.applied(said) is not None
    assert about.calibration.applied(said).class_probability is said.class_probability


def test_weights_with_an_absurd_temperature_are_refused(model: tuple[EpochReport, Path]) -> None:
    record = load_model(model[1]).about.to_json()
    for absurd in (0.0, -1.0, float("nan"), "hot"):
        with pytest.raises(ValueError, match=r"temperature|numbers"):
            About.from_json(record | {"temperature": absurd})
