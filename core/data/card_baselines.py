"""What predictors reach that look at no waveform: the floor under every score on a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.data.concatenate import concatenate
from core.data.recordings import STATIC, Fold, Recordings
from core.metrics import Predictions, score, trivial_scores


@dataclass(frozen=True, slots=True)
class Baseline:
    """A trivial predictor's score; metric names are those of `core.metrics`."""

    predictor: str
    metric: str
    value: float


TRIVIAL: Final[Mapping[str, str]] = {
    "val/class/accuracy": "majority class",
    "val/class/balanced_accuracy": "majority class",
    "val/class/f1_macro": "majority class",
    "val/threshold/mae_db": "median threshold",
    "val/threshold/within_10_db": "median threshold",
    "val/peak/exist_f1": "wave V always visible",
    "val/peak/latency_mae_ms": "median latency",
    "val/peak/amplitude_mae_uv": "median amplitude",
    "val/signal/pearson": "recording itself or Wiener filter",
    "val/signal/snr_db": "recording itself or Wiener filter",
}
"""Metrics shown, and the predictor behind each; all are fitted on the training recordings."""


def baselines(folds: Sequence[Fold]) -> tuple[Baseline, ...]:
    """Scores on the held-out recordings of all folds, pooled; a metric that cannot be computed is left out."""
    if not folds:
        return ()
    trains, held_out = [fold.train for fold in folds], [fold.val for fold in folds]
    pooled = concatenate(held_out)
    plain = trivial_scores(trains, held_out, pooled, split="val").values
    found = [Baseline(TRIVIAL[name], name, plain[name]) for name in TRIVIAL if name in plain]
    class_mean = np.concatenate(
        [_class_mean_threshold(train, part) for train, part in zip(trains, held_out, strict=True)]
    )
    if np.isfinite(class_mean).all():
        scores = score(Predictions(threshold_db=class_mean), pooled, split="val").values
        found += _named("mean threshold of the true class", scores, "threshold/mae_db", "threshold/r2")
    by_level = np.concatenate([_visible_by_level(train, part) for train, part in zip(trains, held_out, strict=True)])
    if np.isfinite(by_level).all():
        scores = score(Predictions(exist_probability=by_level), pooled, split="val").values
        found += _named("visible from a level on", scores, "peak/exist_f1", "peak/exist_auroc", "peak/false_rate")
    return tuple(found)


def _named(predictor: str, scores: Mapping[str, float], *metrics: str) -> list[Baseline]:
    names = [f"val/{metric}" for metric in metrics]
    return [Baseline(predictor, name, scores[name]) for name in names if name in scores]


def _class_mean_threshold(train: Recordings, held_out: Recordings) -> NDArray[np.float64]:
    """(N,) mean training threshold of each recording's true class; NaN where class or mean is unknown."""
    known_N = ~np.isnan(train.threshold_db) & (train.hearing_class >= 0)
    means = np.full(len(train.class_names) + 1, np.nan)  # the last is for recordings without a class
    for index in np.unique(train.hearing_class[known_N]):
        means[index] = train.threshold_db[known_N & (train.hearing_class == index)].mean(dtype=np.float64)
    predicted: NDArray[np.float64] = means[held_out.hearing_class]
    return predicted if not np.isnan(held_out.threshold_db).all() else np.full(len(held_out), np.nan)


def _visible_by_level(train: Recordings, held_out: Recordings) -> NDArray[np.float64]:
    """(N,) 1 at and above the level that divides visible from invisible best in training, else 0; NaN if unknown."""
    column = STATIC.index("intensity_db_nhl")
    level_N, seen_N = train.static[:, column], train.peak_exist
    known_N = ~np.isnan(level_N) & ~np.isnan(seen_N)
    if not known_N.any():
        return np.full(len(held_out), np.nan)
    level_N, seen_N = level_N[known_N], seen_N[known_N] == 1
    cuts = np.append(np.unique(level_N), np.inf)
    correct = [((level_N >= cut) == seen_N).mean() for cut in cuts]
    held_out_level = held_out.static[:, column].astype(np.float64)
    visible = (held_out_level >= cuts[int(np.argmax(correct))]).astype(np.float64)
    return np.where(np.isnan(held_out_level), np.nan, visible)
