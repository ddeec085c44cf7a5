"""Making predictions mean what they say, on recordings held out from training: temperature, half-widths."""

# N recordings, C classes.

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from core.metrics.values import Array, Floats, doubles, weighted_mean

LEVEL: Final = 0.9
"""Share of recordings an interval should cover."""
TINIEST: Final = 1e-300
"""Keeps the logarithm of a probability finite."""
HOTTEST: Final = 20.0
"""A temperature lies between 1 / this and this: a few recordings all told right would make it 0."""


def class_nll(probability_NC: Array, truth_N: NDArray[np.int64], weight_N: Array) -> float:
    """Mean negative log-probability of the true classes, in nats; infinite where one was held impossible."""
    true_N = probability_NC[np.arange(len(truth_N)), truth_N]
    with np.errstate(divide="ignore"):
        return weighted_mean(-np.log(true_N), weight_N)


def tempered(probability_NC: Floats, temperature: float) -> Array:
    """(N, C) softmax(log p / T), Guo et al. 2017 (1706.04599); their order within a row stays."""
    if temperature == 1.0:
        return doubles(probability_NC)
    logit_NC = np.log(np.maximum(doubles(probability_NC), TINIEST)) / temperature
    share_NC = np.exp(logit_NC - logit_NC.max(1, keepdims=True))
    return np.asarray(share_NC / share_NC.sum(1, keepdims=True))


def fitted_temperature(probability_NC: Floats, truth_N: NDArray[np.int64], weight_N: Array) -> float:
    """The temperature with the smallest `class_nll` over recordings with a class; 1 where fewer than two classes occur.

    The negative log-likelihood is convex in 1 / T; its slope there is the mean of the expected logit less that of the
    true class. Never worse than 1.
    """
    known_N = truth_N >= 0
    if len(np.unique(truth_N[known_N])) < 2:
        return 1.0
    probability_KC, truth_K, weight_K = doubles(probability_NC[known_N]), truth_N[known_N], weight_N[known_N]
    logit_KC = np.log(np.maximum(probability_KC, TINIEST))
    true_K = logit_KC[np.arange(len(truth_K)), truth_K]

    def slope(coldness: float) -> float:
        return weighted_mean((tempered(probability_KC, 1 / coldness) * logit_KC).sum(1) - true_K, weight_K)

    low, high = 1 / HOTTEST, HOTTEST
    if slope(low) >= 0:
        found = HOTTEST
    elif slope(high) <= 0:
        found = 1 / HOTTEST
    else:
        found = 1 / float(brentq(slope, low, high, xtol=1e-9))
    return min((1.0, found), key=lambda each: class_nll(tempered(probability_KC, each), truth_K, weight_K))


def half_width(error_N: Array, weight_N: Array) -> float:
    """Half-width of the symmetric interval that covers LEVEL of recordings like these, from their absolute errors.

    The quantile of split conformal prediction (Lei et al. 2018, 1604.04173): at least (1 + 1/n) LEVEL of the weight
    lies within, or the largest error where n is too small for that. With errors in units of a predicted spread, it is
    how many of these are needed.
    """
    order = np.argsort(error_N)
    share_N = np.cumsum(weight_N[order]) / np.sum(weight_N)
    rank = int(np.searchsorted(share_N, min(1.0, LEVEL * (1 + 1 / len(order))) - 1e-12))
    return float(error_N[order][min(rank, len(order) - 1)])
