"""How rare classes get weight: in the class loss, and in what the batches are drawn from. Pure functions."""

# K classes, N recordings.

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.config import BalanceOptions, BalanceScheme, Clamp

log = logging.getLogger(__name__)

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
    "dynamic": uniform,
}
"""Weights up to scale, from the counts of the classes that are present.

Explicit ones stand in the options; dynamic ones are alike until a recall is known.
"""

LEAST_MISS: Final = 0.05
"""What a class found without a miss still counts as having missed: it must not be forgotten."""


def class_weights(
    counts: Sequence[int] | NDArray[np.int64], options: BalanceOptions, *, names: Sequence[str] = ()
) -> Tensor:
    """(K,) class weights, raised to `power`, clamped, summing to the number of classes.

    A class without recordings has weight 1 and the others sum to their own number: it never enters a loss as a true
    class, and an inverse of its count would push all others to nothing.

    Raises ValueError when explicit weights do not match the classes (their `names` where weights come by name), or no
    weights within the clamp have the sum.
    """
    count_K = np.asarray(counts, dtype=np.float64)
    explicit_K = _explicit(options, names, len(count_K)) if options.scheme == "explicit" else None
    present_K = count_K > 0
    weight_K = np.ones_like(count_K)
    if present_K.any():
        scheme = SCHEMES[options.scheme]
        raw = scheme(count_K[present_K], options) if scheme is not None else np.asarray(explicit_K)[present_K]
        weight_K[present_K] = _finished(raw, options)
    return torch.tensor(weight_K, dtype=torch.float32)


def recall_weights(recall_K: Sequence[float | None], options: BalanceOptions) -> Tensor:
    """(K,) class weights from recent recall, None where a class has not been seen: 1 - recall, then as for the others.

    Tian et al. 2021 (2106.14917). A class that is found without a miss keeps `LEAST_MISS` of what one never found has.
    """
    weight_K = np.ones(len(recall_K))
    seen_K = np.array([recall is not None for recall in recall_K], dtype=bool)
    if seen_K.any():
        missed = np.array([1.0 - recall for recall in recall_K if recall is not None])
        weight_K[seen_K] = _finished(np.maximum(missed, LEAST_MISS), options)
    return torch.tensor(weight_K, dtype=torch.float32)


def _explicit(options: BalanceOptions, names: Sequence[str], classes: int) -> Floats:
    """(K,) the weights in the options, by name or in the order of the classes."""
    given = options.weights or ()
    if isinstance(given, Mapping):
        _check_names("balance.weights", given, names)
        missing = [name for name in names if name not in given]
        if missing:
            raise ValueError(f"balance.weights has no weight for {', '.join(missing)}")
        return np.array([given[name] for name in names])
    if len(given) != classes:
        raise ValueError(f"{len(given)} explicit class weights for {classes} classes")
    return np.asarray(given, dtype=np.float64)


def _check_names(option: str, given: Mapping[str, float], names: Sequence[str]) -> None:
    unknown = [name for name in given if name not in names]
    if unknown:
        raise ValueError(f"{option} names {', '.join(unknown)}; the classes are {', '.join(names) or 'none'}")


def _finished(raw: Floats, options: BalanceOptions) -> Floats:
    """Power, scale and clamp."""
    weight = _to_mean_one(raw**options.power)
    return weight if options.clamp is None else RENORMALISE[options.renormalise](weight, options.clamp)


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


def sampling_probabilities(class_N: NDArray[np.int64], options: BalanceOptions, *, names: Sequence[str] = ()) -> Floats:
    """(N,) probability of each recording to be drawn into a training batch.

    natural: alike. balanced: each class that occurs has the same share of what the labelled recordings have together;
    recordings without a class (-1) keep 1 / N. Then the recordings of a class count `sampling_fractions` times as much.

    Raises ValueError when a fraction is given for a class that is none of `names`.
    """
    probability_N = np.full(len(class_N), 1.0 / max(1, len(class_N)))
    labelled_N = class_N >= 0
    if options.sampling == "balanced" and labelled_N.any():
        _, index, count = np.unique(class_N[labelled_N], return_inverse=True, return_counts=True)
        probability_N[labelled_N] = labelled_N.mean() / len(count) / count[index]
    if not options.sampling_fractions:
        return probability_N
    _check_names("balance.sampling_fractions", options.sampling_fractions, names)
    factor_K = np.array([options.sampling_fractions.get(name, 1.0) for name in names])
    probability_N[labelled_N] *= factor_K[class_N[labelled_N]]
    return np.asarray(probability_N / probability_N.sum())


def class_shares(class_N: NDArray[np.int64], probability_N: Floats, classes: int) -> Floats:
    """(K,) share of each class among what is drawn, by expectation."""
    labelled_N = class_N >= 0
    share_K = np.bincount(class_N[labelled_N], weights=probability_N[labelled_N], minlength=classes)
    return share_K.astype(np.float64)


def warn_of_double_counting(options: BalanceOptions) -> None:
    """Say in the log that class weights and sampling both make up for how rare a class is, where they do."""
    if options.counts_twice:
        log.warning(
            "balanced sampling and class weights by count (%s) together correct for frequency twice", options.scheme
        )


def presence(share_K: Floats, batch_size: int) -> Floats:
    """(K,) probability that a batch drawn with replacement holds each class: 1 - (1 - share)^B."""
    return np.asarray(1.0 - (1.0 - share_K) ** batch_size)
