"""The predictors that look at no recording, fitted on the training split: what every score stands beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.data.recordings import Recordings
from core.metrics.calibration import half_width
from core.metrics.predictions import Predictions
from core.metrics.score import score, weights_of
from core.metrics.signal import wiener_filter, wiener_gain
from core.metrics.values import Values

_SMALLER_IS_BETTER: Final = frozenset({"mse"})


def trivial(train: Recordings, held_out: Recordings) -> Predictions:
    """Class shares of `train` as probabilities (so its majority), medians, always-positive, the recording itself.

    About each median lies the interval, and the spread, of the training labels about it.
    """
    count = len(held_out)
    threshold, latency, amplitude = (
        _about_the_median(labels, count)
        for labels in (train.threshold_db, train.peak_latency_ms, train.peak_amplitude_uv)
    )
    return Predictions(
        class_probability=_prior(train, count),
        threshold_db=threshold[0],
        threshold_plus_minus_db=threshold[1],
        threshold_sd_db=threshold[2],
        exist_probability=np.ones(count) if np.isfinite(train.peak_exist).any() else None,
        latency_ms=latency[0],
        latency_plus_minus_ms=latency[1],
        latency_sd_ms=latency[2],
        amplitude_uv=amplitude[0],
        amplitude_plus_minus_uv=amplitude[1],
        amplitude_sd_uv=amplitude[2],
        signal=held_out.signal,
    )


def trivial_scores(
    trains: Sequence[Recordings],
    held_out: Sequence[Recordings],
    pooled: Recordings,
    *,
    split: str,
    rare: Sequence[str] = (),
) -> Values:
    """Scores of the trivial predictors, fitted per fold and pooled like those of the model.

    `pooled` is `held_out` in one table. The signal has two, the recording itself and a Wiener filter fitted on the
    training split: each metric stands beside the better one.
    """
    plain = Predictions.joined([trivial(train, part) for train, part in zip(trains, held_out, strict=True)])
    scores = score(plain, pooled, split=split, rare=rare)
    if pooled.clean is None or any(train.clean is None for train in trains):
        return scores
    filtered = [_wiener(train, part) for train, part in zip(trains, held_out, strict=True)]
    other = score(replace(plain, signal=np.concatenate(filtered)), pooled, split=split, rare=rare)
    values = dict(scores.values)
    for name, value in other.values.items():
        smaller = name.rpartition("/")[2] in _SMALLER_IS_BETTER
        values[name] = (min if smaller else max)(value, values.get(name, value))
    return Values(values, {name: why for name, why in scores.absent.items() if name not in values})


def _prior(train: Recordings, count: int) -> NDArray[np.float64] | None:
    known_N = train.hearing_class >= 0
    if not known_N.any():
        return None
    weight_N = weights_of(train)[known_N]
    share_C = np.bincount(train.hearing_class[known_N], weights=weight_N, minlength=len(train.class_names))
    return np.tile(share_C / share_C.sum(), (count, 1))


def _about_the_median(labels_N: NDArray[np.float32], count: int) -> tuple[NDArray[np.float64] | None, ...]:
    """Median, half-width of the 90 % interval and root mean square of the labels about it, each `count` times."""
    known_N = labels_N[np.isfinite(labels_N)].astype(np.float64)
    if not known_N.size:
        return None, None, None
    error_N = np.abs(known_N - np.median(known_N))
    spread = float(np.sqrt(np.mean(error_N**2)))
    numbers = float(np.median(known_N)), half_width(error_N, np.ones(len(error_N))), spread or None
    median_N, half_N, sd_N = (None if each is None else np.full(count, each, dtype=np.float64) for each in numbers)
    return median_N, half_N, sd_N


def _wiener(train: Recordings, held_out: Recordings) -> NDArray[np.float64]:
    if train.clean is None:
        raise ValueError("a Wiener filter is fitted on recordings with a noise-free truth")
    known_N = np.isfinite(train.clean).all(1)
    return wiener_filter(wiener_gain(train.signal[known_N], train.clean[known_N]), held_out.signal)
