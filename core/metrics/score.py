"""All metrics of a split under their public names, with the skill over a trivial predictor beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.data.recordings import Recordings
from core.metrics.classes import class_metrics
from core.metrics.intervals import interval_metrics
from core.metrics.peaks import amplitude_metrics, existence_metrics, latency_metrics
from core.metrics.predictions import Predictions
from core.metrics.signal import signal_metrics
from core.metrics.threshold import threshold_metrics
from core.metrics.values import Values, joined

_ONE: Final = (
    r"class/(accuracy|balanced_accuracy|f1_macro|f1_rare|f1/.+|recall/.+|auroc_macro|patient_f1_macro)"
    r"|threshold/(r2|pearson|within_5_db|within_10_db)"
    r"|peak/(exist_f1|exist_auroc|latency_r2|latency_pearson|within_0\.1_ms|within_1_ms|amplitude_r2)"
    r"|signal/pearson"
)
_ZERO: Final = (
    r"class/(ece|nll|ece_raw|nll_raw)|threshold/(mae_db|rmse_db|over_rate|under_rate)"
    r"|peak/(false_rate|latency_mae_ms|amplitude_mae_uv)|signal/mse"
)
PERFECT: Final[Mapping[re.Pattern[str], float]] = {re.compile(_ONE): 1.0, re.compile(_ZERO): 0.0}
"""Metric, without its split, -> the value a faultless predictor reaches; others have none."""


def weights_of(recordings: Recordings) -> NDArray[np.float64]:
    """(N,) weights in metrics, 1 where the recordings carry none."""
    if recordings.weight is None:
        return np.ones(len(recordings))
    return recordings.weight.astype(np.float64)


def score(predictions: Predictions, recordings: Recordings, *, split: str, rare: Sequence[str] = ()) -> Values:
    """Every metric of every group over the whole split, named `<split>/<group>/<metric>`."""
    weight_N = weights_of(recordings)
    classes = class_metrics(
        predictions.class_probability,
        recordings.hearing_class,
        weight_N=weight_N,
        patient_N=recordings.patient,
        class_names=recordings.class_names,
        rare=rare,
        fold_N=predictions.fold,
        raw_NC=predictions.raw_class_probability,
    )
    peak = joined(
        (
            existence_metrics(predictions.exist_probability, recordings.peak_exist, weight_N, predictions.fold),
            latency_metrics(predictions.latency_ms, recordings.peak_latency_ms, weight_N),
            amplitude_metrics(predictions.amplitude_uv, recordings.peak_amplitude_uv, weight_N),
            _peak_intervals(predictions, recordings, weight_N),
        )
    )
    threshold = joined(
        (
            threshold_metrics(predictions.threshold_db, recordings.threshold_db, weight_N),
            interval_metrics(
                predictions.threshold_db,
                predictions.threshold_plus_minus_db,
                predictions.threshold_sd_db,
                recordings.threshold_db,
                weight_N,
                what="threshold",
                unit="db",
            ),
        )
    )
    signal = signal_metrics(predictions.signal, recordings.clean, recordings.signal, weight_N)
    groups = {"class": classes, "threshold": threshold, "peak": peak, "signal": signal}
    return joined(values.under(f"{split}/{group}") for group, values in groups.items())


def _peak_intervals(predictions: Predictions, recordings: Recordings, weight_N: NDArray[np.float64]) -> Values:
    latency = interval_metrics(
        predictions.latency_ms,
        predictions.latency_plus_minus_ms,
        predictions.latency_sd_ms,
        recordings.peak_latency_ms,
        weight_N,
        what="latency of wave V",
        unit="ms",
        prefix="latency_",
    )
    amplitude = interval_metrics(
        predictions.amplitude_uv,
        predictions.amplitude_plus_minus_uv,
        predictions.amplitude_sd_uv,
        recordings.peak_amplitude_uv,
        weight_N,
        what="amplitude of wave V",
        unit="uv",
        prefix="amplitude_",
    )
    return joined((latency, amplitude))


def perfect_value(name: str) -> float | None:
    """The perfect value of `<split>/<group>/<metric>`, None where there is none."""
    metric = name.partition("/")[2]
    return next((value for pattern, value in PERFECT.items() if pattern.fullmatch(metric)), None)


def with_skill(scores: Values, baselines: Mapping[str, float]) -> Values:
    """The scores, and `<name>:skill` = (value - baseline) / (perfect - baseline) beside each with a perfect value."""
    values = dict(scores.values)
    absent = dict(scores.absent)
    for name, value in scores.values.items():
        perfect = perfect_value(name)
        if perfect is None:
            continue
        baseline = baselines.get(name)
        if baseline is None:
            absent[f"{name}:skill"] = "the trivial predictor has no such score"
        elif abs(perfect - baseline) < 1e-12:
            absent[f"{name}:skill"] = "the trivial predictor is perfect here"
        else:
            values[f"{name}:skill"] = (value - baseline) / (perfect - baseline)
    return Values(values, absent)
