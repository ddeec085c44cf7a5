"""What a group of metrics returns, and the weighted statistics the groups share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]

RESOLUTION: Final = 1e-6
"""Relative spread below which float32 numbers count as constant: a few roundings of one another."""


@dataclass(frozen=True, slots=True)
class Values:
    """Metrics by name, all finite, and the reason for each that could not be computed."""

    values: Mapping[str, float] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)

    def under(self, prefix: str) -> Values:
        """The same numbers with `prefix/` before every name."""
        return Values(
            {f"{prefix}/{name}": value for name, value in self.values.items()},
            {f"{prefix}/{name}": why for name, why in self.absent.items()},
        )


def checked(values: Mapping[str, float], absent: Mapping[str, str] | None = None) -> Values:
    """`values` as plain floats, with any that overflowed moved to the absent ones."""
    finite = {name: float(value) for name, value in values.items() if math.isfinite(value)}
    reasons = {name: f"came out as {value}" for name, value in values.items() if not math.isfinite(value)}
    return Values(finite, {**reasons, **(absent or {})})


def none_of(names: Iterable[str], why: str) -> Values:
    """No metric of `names` could be computed, for one reason."""
    return Values({}, dict.fromkeys(names, why))


def joined(parts: Iterable[Values]) -> Values:
    """The union of groups with different names."""
    whole: dict[str, float] = {}
    absent: dict[str, str] = {}
    for part in parts:
        whole.update(part.values)
        absent.update(part.absent)
    return Values(whole, absent)


def doubles(values: Floats) -> Array:
    """The numbers in double precision, in which all scores are computed."""
    return np.asarray(values, dtype=np.float64)


def varies(values_N: ArrayLike) -> bool:
    """Whether numbers differ by more than float32 rounding."""
    values_N = np.asarray(values_N, dtype=np.float64)
    return bool(np.ptp(values_N) > RESOLUTION * np.abs(values_N).max()) if values_N.size else False


def weighted_mean(values_N: Array, weight_N: Array) -> float:
    """Sum of w x over the sum of w."""
    return float(np.average(values_N, weights=weight_N))


def weighted_sd(values_N: Array, weight_N: Array) -> float:
    """Square root of the weighted mean squared distance from the weighted mean."""
    return math.sqrt(weighted_mean((values_N - weighted_mean(values_N, weight_N)) ** 2, weight_N))


def weighted_pearson(a_N: Array, b_N: Array, weight_N: Array) -> float:
    """Correlation of two varying quantities, cov(a, b) / (sd(a) sd(b)) with weighted moments."""
    a_N = a_N - weighted_mean(a_N, weight_N)
    b_N = b_N - weighted_mean(b_N, weight_N)
    scale = weighted_sd(a_N, weight_N) * weighted_sd(b_N, weight_N)
    return weighted_mean(a_N * b_N, weight_N) / scale


def auroc(
    truth_N: NDArray[np.bool_], score_N: Array, weight_N: Array, fold_N: NDArray[np.int64] | None
) -> float | None:
    """Area under the ROC curve; with several folds the mean of their areas, by weight; None where no fold has both.

    Scores of different models do not rank against each other: pooled, the models' different base rates alone push the
    area below one half when single subjects are held out.
    """
    folds = [np.ones(len(truth_N), dtype=bool)] if fold_N is None else [fold_N == fold for fold in np.unique(fold_N)]
    both = [fold for fold in folds if truth_N[fold].any() and not truth_N[fold].all()]
    if not both:
        return None
    areas = [_area(truth_N[fold], score_N[fold], weight_N[fold]) for fold in both]
    return float(np.average(areas, weights=[weight_N[fold].sum() for fold in both]))


def _area(truth_N: NDArray[np.bool_], score_N: Array, weight_N: Array) -> float:
    """Weighted share of pairs, one true and one false, in which the true one scores higher; equal scores count half."""
    _, place_N = np.unique(score_N, return_inverse=True)
    true_P = np.bincount(place_N, weights=weight_N * truth_N)
    false_P = np.bincount(place_N, weights=weight_N * ~truth_N)
    return float((true_P * (np.cumsum(false_P) - false_P / 2)).sum() / (true_P.sum() * false_P.sum()))


def regression(truth_N: Array, predicted_N: Array, weight_N: Array) -> Values:
    """`mae`, `rmse`, `r2`, `pearson` and `spread_ratio` = sd(predicted) / sd(true) of one target.

    Constant predictions leave `pearson` absent and give a `spread_ratio` of 0, which is its true value; a constant
    target leaves all but the errors absent.
    """
    error_N = predicted_N - truth_N
    values = {
        "mae": weighted_mean(np.abs(error_N), weight_N),
        "rmse": math.sqrt(weighted_mean(error_N**2, weight_N)),
    }
    if not varies(truth_N):
        return checked(values, dict.fromkeys(("r2", "pearson", "spread_ratio"), "the true values do not vary"))
    truth_sd = weighted_sd(truth_N, weight_N)
    values["r2"] = 1 - (values["rmse"] / truth_sd) ** 2
    if not varies(predicted_N):
        return checked({**values, "spread_ratio": 0.0}, {"pearson": "the predictions do not vary"})
    values["pearson"] = weighted_pearson(truth_N, predicted_N, weight_N)
    values["spread_ratio"] = weighted_sd(predicted_N, weight_N) / truth_sd
    return checked(values)
