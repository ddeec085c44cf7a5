"""What ordinary classifiers make of the same recordings, and whether one prediction beats another.

A network's score means little alone: the always-majority answer, a logistic regression and gradient-boosted trees stand
beside it. "Beats" is a paired bootstrap over patients whose 95 % interval lies above zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from core.data.recordings import Fold, Recordings
from core.metrics.resampled import Interval, macro_f1
from core.tasks.abr_options import Input

# N recordings, C classes, P patients, D bootstrap draws

Floats = NDArray[np.float64]
Split = Literal["train", "val", "test"]
InputSet = Literal["static", "all"]

INPUTS: Final[Mapping[InputSet, tuple[Input, ...]]] = {
    "static": ("age", "intensity", "rate", "fmp"),
    "all": ("signal", "age", "intensity", "rate", "fmp"),
}
STATIC_COLUMN: Final[Mapping[Input, int]] = {"age": 0, "intensity": 1, "rate": 2, "fmp": 3}
SAMPLES_PER_BIN: Final = 4
"""The signal is averaged over so many samples for the classifiers; at 15 kHz that keeps everything below 1.8 kHz."""
THREADS: Final = 1
TREE_BALANCE: Final = 0.7
"""Between counting every recording (0) and every class (1) alike: gives trees their best macro-F1 on simulated data, so
that the reference is a strong one."""


def part_of(fold: Fold, split: Split) -> Recordings:
    """The recordings of a split. Raises ValueError when the fold has no test split and it is asked for."""
    part = {"train": fold.train, "val": fold.val, "test": fold.test}[split]
    if part is None:
        raise ValueError("this fold has no test recordings")
    return part


def features(recordings: Recordings, inputs: InputSet | tuple[Input, ...]) -> Floats:
    """(N, F) table of what a network with these `inputs` is shown; FMP as its logarithm, the signal in bins."""
    chosen = INPUTS[inputs] if isinstance(inputs, str) else inputs
    columns = []
    for name in chosen:
        if name == "signal":
            kept = recordings.samples // SAMPLES_PER_BIN * SAMPLES_PER_BIN
            binned = recordings.signal[:, :kept].reshape(len(recordings), -1, SAMPLES_PER_BIN)
            columns.append(binned.mean(axis=2, dtype=np.float64))
        else:
            column = recordings.static[:, STATIC_COLUMN[name]].astype(np.float64)[:, None]
            columns.append(np.log(np.maximum(column, 1e-3)) if name == "fmp" else column)
    return np.concatenate(columns, axis=1)


def majority_scores(fold: Fold, split: Split) -> Floats:
    """(N, C) class shares of the training recordings, the same for every recording."""
    known = fold.train.hearing_class[fold.train.hearing_class >= 0]
    share_C = np.bincount(known, minlength=len(fold.train.class_names)) / max(1, len(known))
    return np.tile(share_C, (len(part_of(fold, split)), 1))


def logistic_scores(fold: Fold, inputs: InputSet | tuple[Input, ...], split: Split) -> Floats:
    """(N, C) class probabilities of a class-balanced logistic regression fitted on the training recordings."""
    model = make_pipeline(
        SimpleImputer(keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(class_weight="balanced", max_iter=2000),
    )
    seen_MF, truth_M = _training_table(fold, inputs)
    with threadpool_limits(limits=THREADS):
        model.fit(seen_MF, truth_M)
        found = model.predict_proba(features(part_of(fold, split), inputs))
    return _in_all_classes(found, model.classes_, len(fold.train.class_names))


def tree_scores(fold: Fold, inputs: InputSet | tuple[Input, ...], split: Split) -> Floats:
    """(N, C) class probabilities of a gradient-boosted tree fitted on the training recordings.

    `inputs` is "static", "all" or the inputs of a network. Deterministic; takes seconds on one core.
    """
    asked_NF = features(part_of(fold, split), inputs)
    return tree_probabilities(boosted_tree(), *_training_table(fold, inputs), asked_NF, len(fold.train.class_names))


def boosted_tree(iterations: int = 100) -> HistGradientBoostingClassifier:
    """The tree used as reference: small steps and small leaves, as suits a thousand recordings."""
    return HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=iterations,
        max_leaf_nodes=15,
        early_stopping=False,
        random_state=0,
    )


def tree_probabilities(
    model: HistGradientBoostingClassifier, seen_MF: Floats, truth_M: NDArray[np.int64], asked_NF: Floats, classes: int
) -> Floats:
    """(N, C) class probabilities for `asked_NF` of a tree fitted on `seen_MF`; 0 for classes it never saw.

    Recordings count by their class's frequency to the power -TREE_BALANCE. Needs recordings of two classes.
    """
    # scikit-learn's binning fails on a column without a single value, as an age that nobody wrote down.
    told_F = np.isfinite(seen_MF).any(axis=0)
    seen_MF, asked_NF = np.where(told_F, seen_MF, 0.0), np.where(told_F, asked_NF, 0.0)
    count_C = np.bincount(truth_M, minlength=classes)
    weight_M = (np.maximum(count_C, 1) ** -TREE_BALANCE)[truth_M]
    with threadpool_limits(limits=THREADS):
        model.fit(seen_MF, truth_M, sample_weight=weight_M / weight_M.mean())
        found = model.predict_proba(asked_NF)
    return _in_all_classes(found, model.classes_, classes)


def _training_table(fold: Fold, inputs: InputSet | tuple[Input, ...]) -> tuple[Floats, NDArray[np.int64]]:
    known = fold.train.hearing_class >= 0
    return features(fold.train, inputs)[known], fold.train.hearing_class[known]


def _in_all_classes(found: Floats, seen: NDArray[np.int64], classes: int) -> Floats:
    scores_NC = np.zeros((len(found), classes))
    scores_NC[:, seen] = found
    return scores_NC


Metric = Callable[[Floats], Floats]
"""Confusion matrices (..., C, C) -> values (...)."""


def paired_patient_bootstrap(
    truth_N: NDArray[np.int64],
    prediction_a_N: NDArray[np.int64],
    prediction_b_N: NDArray[np.int64],
    patient_N: NDArray[np.str_],
    weight_N: NDArray[np.float64] | NDArray[np.float32] | None = None,
    *,
    metric: Metric = macro_f1,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """Metric of prediction A minus that of prediction B, with the 95 % interval of a bootstrap over patients.

    Both are scored on the same resampled patients, so what patients have in common cancels. A beats B when `low` is
    above zero.
    """
    a, resampled_a = _bootstrap(truth_N, prediction_a_N, patient_N, weight_N, metric=metric, draws=draws, seed=seed)
    b, resampled_b = _bootstrap(truth_N, prediction_b_N, patient_N, weight_N, metric=metric, draws=draws, seed=seed)
    low, high = np.quantile(resampled_a - resampled_b, (0.025, 0.975))
    return Interval(a - b, float(low), float(high))


def patient_bootstrap(
    truth_N: NDArray[np.int64],
    prediction_N: NDArray[np.int64],
    patient_N: NDArray[np.str_],
    weight_N: NDArray[np.float64] | NDArray[np.float32] | None = None,
    *,
    metric: Metric = macro_f1,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """Metric of a prediction with the 95 % interval of a bootstrap over patients."""
    value, resampled = _bootstrap(truth_N, prediction_N, patient_N, weight_N, metric=metric, draws=draws, seed=seed)
    low, high = np.quantile(resampled, (0.025, 0.975))
    return Interval(value, float(low), float(high))


def _bootstrap(
    truth_N: NDArray[np.int64],
    prediction_N: NDArray[np.int64],
    patient_N: NDArray[np.str_],
    weight_N: NDArray[np.float64] | NDArray[np.float32] | None,
    *,
    metric: Metric,
    draws: int,
    seed: int,
) -> tuple[float, Floats]:
    """The metric on all recordings, and on `draws` resamples of patients; equal seeds resample the same patients."""
    known = truth_N >= 0
    weight = np.ones(len(truth_N)) if weight_N is None else weight_N.astype(np.float64)
    num = int(max(truth_N.max(), prediction_N.max())) + 1
    names, index_N = np.unique(patient_N, return_inverse=True)
    confusion_P = np.zeros((len(names), num, num))
    np.add.at(confusion_P, (index_N[known], truth_N[known], prediction_N[known]), weight[known])
    rng = np.random.default_rng(seed)
    times_DP = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    confusion_D = (times_DP @ confusion_P.reshape(len(names), -1)).reshape(draws, num, num)
    return float(metric(confusion_P.sum(axis=0))), metric(confusion_D)
