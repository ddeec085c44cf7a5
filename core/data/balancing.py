"""How rare classes get weight: in the class loss, and in what the batches are drawn from. Pure functions."""

# K classes, N recordings.

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.config import BalanceOptions, BalanceScheme, Clamp

Floats = NDArray[np.float64]
Scheme = Callable[[Floats, BalanceOptions], Floats]


def uniform(count_K: Floats, options: BalanceOptions) -> Floats:
    """Every class alike."""
    return np.ones_like(count_K)


def balanced(count_K: Floats, options: BalanceOptions) -> Floats:
    """1 / n."""
    return 1.0 / count_K


def square_root(count_K: Floats, options: BalanceOptions) -> Floats:
    """1 / sqrt(n)."""
    return 1.0 / np.sqrt(count_K)


def effective(count_K: Floats, options: BalanceOptions) -> Floats:
    """(1 - beta) / (1 - beta^n), one over the effective number of recordings; Cui et al. 2019 (1901.05555)."""
    return (1.0 - options.beta) / (1.0 - options.beta**count_K)


SCHEMES: Final[Mapping[BalanceScheme, Scheme | None]] = {
    "none": uniform,
    "balanced": balanced,
    "sqrt": square_root,
    "effective": effective,
    "explicit": None,
}
"""Weights up to scale, from the counts of the classes that are present; explicit ones stand in the options."""


def class_weights(counts: Sequence[int] | NDArray[np.int64], options: BalanceOptions) -> Tensor:
    """(K,) class weights, raised to `power`, clamped, summing to the number of classes.

    A class without recordings has weight 1 and the others sum to their own number: it never enters a loss as a true
    class, and an inverse of its count would push all others to nothing.

    Raises ValueError when explicit weights do not match the classes, or no weights within the clamp have the sum.
    """
    count_K = np.asarray(counts, dtype=np.float64)
    if options.weights is not None and options.scheme == "explicit" and len(options.weights) != len(count_K):
        raise ValueError(f"{len(options.weights)} explicit class weights for {len(count_K)} classes")
    present_K = count_K > 0
    weight_K = np.ones_like(count_K)
    if present_K.any():
        scheme = SCHEMES[options.scheme]
        raw = np.asarray(options.weights)[present_K] if scheme is None else scheme(count_K[present_K], options)
        weight = _to_mean_one(raw**options.power)
        weight_K[present_K] = (
            weight if options.clamp is None else RENORMALISE[options.renormalise](weight, options.clamp)
        )
    return torch.tensor(weight_K, dtype=torch.float32)


def _to_mean_one(weight_K: Floats) -> Floats:
    return np.asarray(weight_K / weight_K.mean())


def clamp_inside(weight_K: Floats, clamp: Clamp) -> Floats:
    """clip(s w, low, high) with the s for which the mean is 1, found by bisection; stays within the clamp.

    Raises ValueError when low is above 1 or high below: then no weights within the clamp have the mean 1.
    """
    if not clamp.low <= 1.0 <= clamp.high:
        raise ValueError(
            f"class weights between {clamp.low} and {clamp.high} cannot sum to the number of classes: "
            "low must not be above 1 nor high below"
        )
    # At the ends of the bracket every weight sits on its lower, then on its upper bound.
    short, long = clamp.low / weight_K.max(), clamp.high / weight_K.min()
    for _ in range(200):
        middle = np.sqrt(short * long)
        if np.clip(middle * weight_K, clamp.low, clamp.high).mean() < 1.0:
            short = middle
        else:
            long = middle
    return np.asarray(np.clip(long * weight_K, clamp.low, clamp.high))


def clamp_as_documented(weight_K: Floats, clamp: Clamp) -> Floats:
    """Clip, then divide by the mean: the order of document 002, after which weights may lie outside the clamp."""
    return _to_mean_one(np.clip(weight_K, clamp.low, clamp.high))


RENORMALISE: Final[Mapping[str, Callable[[Floats, Clamp], Floats]]] = {
    "inside": clamp_inside,
    "documented": clamp_as_documented,
}
"""How clamped weights get their sum back, keyed by the choices of `BalanceOptions.renormalise`."""


def sampling_probabilities(class_N: NDArray[np.int64], options: BalanceOptions) -> Floats:
    """(N,) probability of each recording to be drawn into a training batch.

    natural: alike. balanced: each class that occurs has the same share of what the labelled recordings have together;
    recordings without a class (-1) keep 1 / N.
    """
    natural_N = np.full(len(class_N), 1.0 / max(1, len(class_N)))
    labelled_N = class_N >= 0
    if options.sampling == "natural" or not labelled_N.any():
        return natural_N
    _, index, count = np.unique(class_N[labelled_N], return_inverse=True, return_counts=True)
    natural_N[labelled_N] = labelled_N.mean() / len(count) / count[index]
    return natural_N
