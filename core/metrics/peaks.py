"""Scores of wave V over a whole split: is it visible, when, how large."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.metrics.classes import recall_and_f1
from core.metrics.values import Array, Floats, Values, auroc, checked, doubles, none_of, regression, weighted_mean

# N recordings, K of them with the label in hand

EXIST: Final = ("exist_f1", "exist_auroc", "false_rate")
LATENCY: Final = (
    "latency_mae_ms",
    "latency_r2",
    "latency_pearson",
    "within_0.1_ms",
    "within_1_ms",
    "latency_spread_ratio",
)
AMPLITUDE: Final = ("amplitude_mae_uv", "amplitude_r2", "amplitude_spread_ratio")


def existence_metrics(
    probability_N: Floats | None, truth_N: Floats, weight_N: Array, fold_N: NDArray[np.int64] | None = None
) -> Values:
    """`exist_f1` (visible is positive, from probability 0.5), `exist_auroc`, and `false_rate`.

    `false_rate` is the share of recordings without a visible wave V in which one is predicted. Recordings nobody
    looked at (NaN) are left out. With several folds the area is the mean of theirs.
    """
    known_N = np.isfinite(truth_N)
    if not known_N.any():
        return none_of(EXIST, "no recording of the split says whether wave V is visible")
    if probability_N is None:
        return none_of(EXIST, "the existence of wave V is not predicted")
    if not np.isfinite(probability_N[known_N]).all():
        return none_of(EXIST, "predicted existence of wave V is not finite")
    visible_K, probability_K, weight_K = truth_N[known_N] > 0.5, probability_N[known_N], weight_N[known_N]
    predicted_K = probability_K >= 0.5
    values: dict[str, float] = {}
    absent: dict[str, str] = {}
    if visible_K.any():
        _, f1_C = recall_and_f1(visible_K.astype(np.int64), predicted_K.astype(np.int64), weight_K, 2)
        values["exist_f1"] = float(f1_C[1])
    else:
        absent |= dict.fromkeys(("exist_f1", "exist_auroc"), "wave V is visible in no recording of the split")
    if visible_K.all():
        absent |= dict.fromkeys(("exist_auroc", "false_rate"), "wave V is visible in every recording of the split")
    else:
        values["false_rate"] = weighted_mean(predicted_K[~visible_K].astype(np.float64), weight_K[~visible_K])
    if visible_K.any() and not visible_K.all():
        area = auroc(visible_K, doubles(probability_K), weight_K, None if fold_N is None else fold_N[known_N])
        if area is None:
            absent["exist_auroc"] = "in every fold wave V is visible in all recordings or in none"
        else:
            values["exist_auroc"] = area
    return checked(values, absent)


def latency_metrics(predicted_N: Floats | None, truth_N: Floats, weight_N: Array) -> Values:
    """Scores of the latency in ms over the recordings that carry one."""
    names = {
        "mae": "latency_mae_ms",
        "r2": "latency_r2",
        "pearson": "latency_pearson",
        "spread_ratio": "latency_spread_ratio",
    }
    limits = {"within_0.1_ms": 0.1, "within_1_ms": 1.0}
    return _labelled(predicted_N, truth_N, weight_N, names=names, limits=limits, what="latency of wave V")


def amplitude_metrics(predicted_N: Floats | None, truth_N: Floats, weight_N: Array) -> Values:
    """Scores of the amplitude in microvolts over the recordings that carry one."""
    names = {"mae": "amplitude_mae_uv", "r2": "amplitude_r2", "spread_ratio": "amplitude_spread_ratio"}
    return _labelled(predicted_N, truth_N, weight_N, names=names, limits={}, what="amplitude of wave V")


def _labelled(
    predicted_N: Floats | None,
    truth_N: Floats,
    weight_N: Array,
    *,
    names: Mapping[str, str],
    limits: Mapping[str, float],
    what: str,
) -> Values:
    wanted = (*names.values(), *limits)
    known_N = np.isfinite(truth_N)
    if not known_N.any():
        return none_of(wanted, f"no recording of the split has a labelled {what}")
    if predicted_N is None:
        return none_of(wanted, f"the {what} is not predicted")
    if not np.isfinite(predicted_N[known_N]).all():
        return none_of(wanted, f"the predicted {what} is not finite")
    true_K, predicted_K, weight_K = doubles(truth_N[known_N]), doubles(predicted_N[known_N]), weight_N[known_N]
    fit = regression(true_K, predicted_K, weight_K)
    values = {new: fit.values[old] for old, new in names.items() if old in fit.values}
    for name, limit in limits.items():
        values[name] = weighted_mean((np.abs(predicted_K - true_K) <= limit).astype(np.float64), weight_K)
    return checked(values, {new: fit.absent[old] for old, new in names.items() if old in fit.absent})
