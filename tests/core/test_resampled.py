from dataclasses import replace

import numpy as np
import pytest

from core.data.simulator import simulate_split
from core.metrics import Predictions, score
from core.metrics.resampled import METRICS, interval, metric_value, paired_interval


@pytest.fixture(scope="module")
def held_out():
    return simulate_split("val", 400, 3)[0]


def guesses(recordings, seed: int, error: float) -> Predictions:
    """Labels with an error, so that every metric is between its worst and its best."""
    rng = np.random.default_rng(seed)
    count = len(recordings)
    logits = rng.normal(size=(count, 5)) + 2 * np.eye(5)[recordings.hearing_class]
    return Predictions(
        class_probability=np.exp(logits) / np.exp(logits).sum(1, keepdims=True),
        threshold_db=recordings.threshold_db + error * 10 * rng.normal(size=count),
        exist_probability=np.clip(recordings.peak_exist + error * rng.normal(size=count), 0, 1),
        latency_ms=7 + rng.normal(size=count),
        amplitude_uv=0.2 + 0.1 * rng.normal(size=count),
        signal=recordings.clean + error * 0.03 * rng.normal(size=recordings.clean.shape),
    )


def test_every_metric_is_the_one_that_is_scored(held_out):
    said = guesses(held_out, 0, 1.0)
    scored = score(said, held_out, split="val").values
    for metric in METRICS:
        assert metric_value(metric, said, held_out) == pytest.approx(scored[f"val/{metric}"], abs=1e-9), metric


def test_a_patient_drawn_twice_counts_twice(held_out):
    # Two patients only: of two draws both are the same one in half of the resamples, and those know only that one.
    names = np.unique(held_out.patient)[:2]
    two = held_out.take(np.flatnonzero(np.isin(held_out.patient, names)))
    errors = [np.abs(two.threshold_db[two.patient == name]).mean() for name in names]
    zero = Predictions(threshold_db=np.zeros(len(two)))
    found = interval("threshold/mae_db", zero, two, draws=500)
    assert (found.low, found.high) == pytest.approx((min(errors), max(errors)), rel=1e-5)


def test_better_answers_beat_worse_ones_and_not_themselves(held_out):
    good, bad = guesses(held_out, 1, 0.5), guesses(held_out, 1, 2.0)
    better = paired_interval("threshold/r2", good, bad, held_out)
    assert better.low > 0
    assert better.value == pytest.approx(
        metric_value("threshold/r2", good, held_out) - metric_value("threshold/r2", bad, held_out)
    )
    assert paired_interval("threshold/mae_db", good, good, held_out)[:] == (0.0, 0.0, 0.0)


def test_recordings_without_a_label_take_no_part(held_out):
    said = guesses(held_out, 2, 1.0)
    missing = held_out.threshold_db.copy()
    missing[::2] = np.nan
    some = replace(held_out, threshold_db=missing)
    expected = score(said, some, split="val").values["val/threshold/r2"]
    assert metric_value("threshold/r2", said, some) == pytest.approx(expected, abs=1e-9)
    with pytest.raises(ValueError, match="not predicted"):
        metric_value("threshold/r2", Predictions(), some)
