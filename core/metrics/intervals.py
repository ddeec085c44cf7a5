"""Scores of what a model says of its own uncertainty: intervals and predicted spreads."""

# N recordings, K of them with the label in hand

from __future__ import annotations

import math

import numpy as np

from core.metrics.values import Array, Floats, Values, checked, doubles, none_of, weighted_mean


def interval_metrics(
    predicted_N: Floats | None,
    plus_minus_N: Floats | None,
    sd_N: Floats | None,
    truth_N: Floats,
    weight_N: Array,
    *,
    what: str,
    unit: str,
    prefix: str = "",
) -> Values:
    """`coverage_90`, `interval_width_<unit>` and `nll`, each after `prefix`, over the recordings that carry the label.

    `coverage_90` is the share of labels within the prediction's 90 % interval, `interval_width_<unit>` the mean width
    of these (both ends included). `nll` is the mean negative log-likelihood of the labels, in nats, under a Gaussian
    about the prediction with the predicted standard deviation.
    """
    names = coverage, width, nll = (f"{prefix}coverage_90", f"{prefix}interval_width_{unit}", f"{prefix}nll")
    known_N = np.isfinite(truth_N)
    if not known_N.any():
        return none_of(names, f"no recording of the split has a labelled {what}")
    if predicted_N is None:
        return none_of(names, f"the {what} is not predicted")
    if not np.isfinite(predicted_N[known_N]).all():
        return none_of(names, f"the predicted {what} is not finite")
    error_K, weight_K = np.abs(doubles(predicted_N[known_N]) - doubles(truth_N[known_N])), weight_N[known_N]
    values: dict[str, float] = {}
    absent: dict[str, str] = {}
    if plus_minus_N is None:
        absent |= dict.fromkeys((coverage, width), f"no interval comes with the predicted {what}")
    else:
        half_K = doubles(plus_minus_N[known_N])
        # Half-widths pass through single precision with the predictions: an error on the edge lies inside.
        values[coverage] = weighted_mean((error_K <= half_K * (1 + 1e-6)).astype(np.float64), weight_K)
        values[width] = 2 * weighted_mean(half_K, weight_K)
    if sd_N is None:
        absent[nll] = f"no spread of the {what} is predicted"
    else:
        sd_K = doubles(sd_N[known_N])
        values[nll] = weighted_mean(0.5 * (error_K / sd_K) ** 2 + np.log(sd_K) + 0.5 * math.log(2 * math.pi), weight_K)
    return checked(values, absent)
