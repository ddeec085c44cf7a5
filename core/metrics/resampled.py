"""Metrics as functions of sums over recordings, so that a bootstrap over patients costs one product of matrices.

A patient drawn twice counts twice: whatever is a function of sums over recordings is, on a resample, the same function
of the same sums with every patient's share times how often it was drawn. The values are those of `core.metrics.score`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.data.recordings import Recordings
from core.metrics.predictions import Predictions
from core.metrics.score import weights_of
from core.metrics.signal import row_pearson, varies_in_time
from core.metrics.values import Array, Floats

# N recordings, S sums, P patients, D draws


class Interval(NamedTuple):
    """A number with its 95 % interval from a bootstrap over patients."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Summed:
    """A metric: what each recording adds to its sums, and its value from them."""

    parts: Callable[[Predictions, Recordings], Array]
    """-> (N, S), each recording's weight included; rows of 0 where it does not take part."""
    value: Callable[[Array], Array]
    """(..., S) -> (...)."""


def metric_value(metric: str, said: Predictions, recordings: Recordings) -> float:
    """A metric of METRICS (`<group>/<name>`) over all recordings."""
    summed = METRICS[metric]
    return float(summed.value(summed.parts(said, recordings).sum(axis=0)))


def paired_interval(
    metric: str, ours: Predictions, theirs: Predictions, recordings: Recordings, *, draws: int = 2000, seed: int = 0
) -> Interval:
    """The metric of `ours` minus that of `theirs`, both on the same resampled patients."""
    a, resampled_a = _bootstrap(metric, ours, recordings, draws, seed)
    b, resampled_b = _bootstrap(metric, theirs, recordings, draws, seed)
    return Interval(a - b, *_ends(resampled_a - resampled_b))


def interval(metric: str, said: Predictions, recordings: Recordings, *, draws: int = 2000, seed: int = 0) -> Interval:
    """The metric with the 95 % interval of a bootstrap over patients."""
    value, resampled = _bootstrap(metric, said, recordings, draws, seed)
    return Interval(value, *_ends(resampled))


def _ends(resampled_D: Array) -> tuple[float, float]:
    low, high = np.quantile(resampled_D, (0.025, 0.975))
    return float(low), float(high)


def _bootstrap(metric: str, said: Predictions, recordings: Recordings, draws: int, seed: int) -> tuple[float, Array]:
    summed = METRICS[metric]
    parts_NS = summed.parts(said, recordings)
    names, patient_N = np.unique(recordings.patient, return_inverse=True)
    sums_PS = np.stack([np.bincount(patient_N, part_N, len(names)) for part_N in parts_NS.T], axis=1)
    times_DP = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    resampled_DS = np.asarray(times_DP.astype(np.float64) @ sums_PS)
    return float(summed.value(sums_PS.sum(axis=0))), summed.value(resampled_DS)


def _column(values: Floats | None) -> Array:
    if values is None:
        raise ValueError("this is not predicted, or the recordings have no such label")
    return np.asarray(values, dtype=np.float64)


def _known(recordings: Recordings, *columns: Array) -> Array:
    """(N, S) weighted columns; 0 in every one where any of them is not known."""
    table_NS = np.column_stack(columns)
    weight_N = np.where(np.isfinite(table_NS).all(axis=1), weights_of(recordings), 0.0)
    return np.asarray(np.where(np.isfinite(table_NS), table_NS, 0.0) * weight_N[:, None])


def _ratio(sums: Array) -> Array:
    """First over second sum."""
    return np.asarray(sums[..., 0] / np.maximum(sums[..., 1], 1e-300))


# Classes


def _confusion(truth_N: NDArray[np.integer], predicted_N: NDArray[np.integer], weight_N: Array, classes: int) -> Array:
    """(N, C * C) one entry for each recording: its weight at [truth, prediction]; none where the class is unknown."""
    table_NS = np.zeros((len(truth_N), classes * classes))
    rows = np.flatnonzero(truth_N >= 0)
    table_NS[rows, truth_N[rows] * classes + predicted_N[rows]] = weight_N[rows]
    return table_NS


def _by_recording(said: Predictions, recordings: Recordings) -> Array:
    predicted_N = _column(said.class_probability).argmax(axis=1)
    return _confusion(recordings.hearing_class, predicted_N, weights_of(recordings), len(recordings.class_names))


def _by_patient(said: Predictions, recordings: Recordings) -> Array:
    """The same for units of patient and true class, each at its first recording: mean probabilities, mean weight."""
    probability_NC, weight_N = _column(said.class_probability), weights_of(recordings)
    truth_N, classes = recordings.hearing_class, len(recordings.class_names)
    _, patient_N = np.unique(recordings.patient, return_inverse=True)
    _, first_U, unit_N = np.unique(patient_N * (classes + 1) + truth_N + 1, return_index=True, return_inverse=True)
    sums_UC = np.stack([np.bincount(unit_N, weight_N * column_N) for column_N in probability_NC.T], axis=1)
    mean_U = np.bincount(unit_N, weight_N) / np.bincount(unit_N)
    table_NS = np.zeros((len(truth_N), classes * classes))
    table_NS[first_U] = _confusion(truth_N[first_U], sums_UC.argmax(axis=1), mean_U, classes)
    return table_NS


def macro_f1(confusion: Array) -> Array:
    """Macro-F1 of weighted confusion matrices (..., C, C) [truth, prediction], over the classes that occur in each."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    truths, guesses = confusion.sum(axis=-1), confusion.sum(axis=-2)
    f1 = 2 * hits / np.maximum(truths + guesses, 1e-300)
    return np.asarray((f1 * (truths > 0)).sum(axis=-1) / np.maximum((truths > 0).sum(axis=-1), 1))


def _accuracy(confusion: Array) -> Array:
    return np.asarray(np.trace(confusion, axis1=-2, axis2=-1) / np.maximum(confusion.sum(axis=(-2, -1)), 1e-300))


def _of_confusion(value: Callable[[Array], Array]) -> Callable[[Array], Array]:
    def of_sums(sums: Array) -> Array:
        classes = round(sums.shape[-1] ** 0.5)
        return value(sums.reshape(*sums.shape[:-1], classes, classes))

    return of_sums


# Wave V is visible: hits, false alarms, misses, rejections


def _visible(said: Predictions, recordings: Recordings) -> Array:
    truth_N = recordings.peak_exist.astype(np.float64)
    predicted = (_column(said.exist_probability) >= 0.5).astype(np.float64)
    seen_N = np.where(np.isfinite(truth_N), (truth_N > 0.5).astype(np.float64), np.nan)
    absent, silent = 1 - seen_N, 1 - predicted
    return _known(recordings, seen_N * predicted, absent * predicted, seen_N * silent, absent * silent)


def _exist_f1(sums: Array) -> Array:
    hits, alarms, misses = sums[..., 0], sums[..., 1], sums[..., 2]
    return np.asarray(2 * hits / np.maximum(2 * hits + alarms + misses, 1e-300))


def _false_rate(sums: Array) -> Array:
    return np.asarray(sums[..., 1] / np.maximum(sums[..., 1] + sums[..., 3], 1e-300))


# One number per recording

Target = Callable[[Predictions, Recordings], tuple[Array, Array]]
"""-> predictions and labels (N,), NaN where there is no label."""


def _threshold(said: Predictions, recordings: Recordings) -> tuple[Array, Array]:
    return _column(said.threshold_db), _column(recordings.threshold_db)


def _latency(said: Predictions, recordings: Recordings) -> tuple[Array, Array]:
    return _column(said.latency_ms), _column(recordings.peak_latency_ms)


def _amplitude(said: Predictions, recordings: Recordings) -> tuple[Array, Array]:
    return _column(said.amplitude_uv), _column(recordings.peak_amplitude_uv)


def _absolute_error(target: Target) -> Summed:
    def parts(said: Predictions, recordings: Recordings) -> Array:
        predicted_N, truth_N = target(said, recordings)
        return _known(recordings, np.abs(predicted_N - truth_N), np.ones(len(truth_N)))

    return Summed(parts, _ratio)


def _within(target: Target, limit: float) -> Summed:
    def parts(said: Predictions, recordings: Recordings) -> Array:
        predicted_N, truth_N = target(said, recordings)
        error_N = np.abs(predicted_N - truth_N)
        return _known(recordings, np.where(np.isfinite(error_N), error_N <= limit, np.nan), np.ones(len(truth_N)))

    return Summed(parts, _ratio)


def _moments(target: Target) -> Callable[[Predictions, Recordings], Array]:
    def parts(said: Predictions, recordings: Recordings) -> Array:
        x_N, y_N = target(said, recordings)
        return _known(recordings, np.ones(len(y_N)), x_N + 0 * y_N, y_N, x_N**2 + 0 * y_N, y_N**2, x_N * y_N)

    return parts


def _r2(sums: Array) -> Array:
    count, _, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    return np.asarray(1 - (xx - 2 * xy + yy) / (yy - y**2 / count))


def _correlation(sums: Array) -> Array:
    count, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    return np.asarray((xy - x * y / count) / np.sqrt((xx - x**2 / count) * (yy - y**2 / count)))


# The denoised signal


def _signal_power(said: Predictions, recordings: Recordings) -> Array:
    """Power of truth and of error where the truth varies."""
    truth_NT, predicted_NT = _column(recordings.clean), _column(said.signal)
    varies_N = varies_in_time(truth_NT)
    power = (np.square(truth_NT).mean(axis=1), np.square(predicted_NT - truth_NT).mean(axis=1))
    return _known(recordings, *(np.where(varies_N, each_N, np.nan) for each_N in power))


def _signal_pearson(said: Predictions, recordings: Recordings) -> Array:
    truth_NT, predicted_NT = _column(recordings.clean), _column(said.signal)
    found_N = np.full(len(truth_NT), np.nan)
    rows = np.flatnonzero(varies_in_time(truth_NT))
    found_N[rows] = row_pearson(predicted_NT[rows], truth_NT[rows])
    return _known(recordings, found_N, np.ones(len(found_N)))


METRICS: Final[Mapping[str, Summed]] = {
    "class/f1_macro": Summed(_by_recording, _of_confusion(macro_f1)),
    "class/patient_f1_macro": Summed(_by_patient, _of_confusion(macro_f1)),
    "class/accuracy": Summed(_by_recording, _of_confusion(_accuracy)),
    "threshold/mae_db": _absolute_error(_threshold),
    "threshold/r2": Summed(_moments(_threshold), _r2),
    "threshold/pearson": Summed(_moments(_threshold), _correlation),
    "peak/exist_f1": Summed(_visible, _exist_f1),
    "peak/false_rate": Summed(_visible, _false_rate),
    "peak/latency_r2": Summed(_moments(_latency), _r2),
    "peak/latency_pearson": Summed(_moments(_latency), _correlation),
    "peak/within_1_ms": _within(_latency, 1.0),
    "peak/amplitude_r2": Summed(_moments(_amplitude), _r2),
    "signal/pearson": Summed(_signal_pearson, _ratio),
    "signal/snr_db": Summed(_signal_power, lambda sums: 10 * np.log10(_ratio(sums))),
}
"""`<group>/<name>` -> the metric; those that are no function of sums, as areas under a curve, are not here."""
SMALLER_IS_BETTER: Final = frozenset({"threshold/mae_db", "peak/false_rate"})
