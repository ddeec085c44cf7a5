"""Scores of the hearing threshold over a whole split."""

from __future__ import annotations

from typing import Final

import numpy as np

from core.metrics.values import Array, Floats, Values, checked, doubles, none_of, regression, weighted_mean

# N recordings, K of them with a threshold

NAMES: Final = (
    "mae_db",
    "rmse_db",
    "r2",
    "pearson",
    "within_5_db",
    "within_10_db",
    "over_rate",
    "under_rate",
    "spread_ratio",
)
_WITH_UNIT: Final = {"mae": "mae_db", "rmse": "rmse_db"}


def threshold_metrics(predicted_N: Floats | None, truth_N: Floats, weight_N: Array) -> Values:
    """All metrics of the group `threshold`; recordings without a threshold are left out.

    `over_rate` and `under_rate` are the shares more than 10 dB above and below the label, so that they and
    `within_10_db` sum to one.
    """
    known_N = np.isfinite(truth_N)
    if not known_N.any():
        return none_of(NAMES, "no recording of the split has a threshold")
    if predicted_N is None:
        return none_of(NAMES, "no threshold is predicted")
    if not np.isfinite(predicted_N[known_N]).all():
        return none_of(NAMES, "predicted thresholds are not finite")
    true_K, predicted_K, weight_K = doubles(truth_N[known_N]), doubles(predicted_N[known_N]), weight_N[known_N]
    error_K = predicted_K - true_K
    fit = regression(true_K, predicted_K, weight_K)
    values = {_WITH_UNIT.get(name, name): value for name, value in fit.values.items()}
    shares = {
        "within_5_db": np.abs(error_K) <= 5,
        "within_10_db": np.abs(error_K) <= 10,
        "over_rate": error_K > 10,
        "under_rate": error_K < -10,
    }
    values |= {name: weighted_mean(hit_K.astype(np.float64), weight_K) for name, hit_K in shares.items()}
    return checked(values, fit.absent)
