"""Scores of the hearing-loss class over a whole split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.metrics.calibration import class_nll
from core.metrics.values import Array, Floats, Values, auroc, checked, doubles, none_of, weighted_mean, weighted_sd

# N recordings, C classes, U units (a patient with one of the classes it carries)

BINS: Final = 15
"""Confidence bins of the calibration error (Guo et al. 2017, 1706.04599)."""

SINGLE: Final = (
    "accuracy",
    "balanced_accuracy",
    "f1_macro",
    "f1_rare",
    "auroc_macro",
    "ece",
    "nll",
    "ece_raw",
    "nll_raw",
    "predicted_classes",
    "largest_share",
    "prediction_entropy",
    "probability_sd",
    "patient_f1_macro",
)


def class_metrics(
    predicted_NC: Floats | None,
    truth_N: NDArray[np.int64],
    *,
    weight_N: Array,
    patient_N: NDArray[np.str_],
    class_names: Sequence[str],
    rare: Sequence[str] = (),
    fold_N: NDArray[np.int64] | None = None,
    raw_NC: Floats | None = None,
) -> Values:
    """All metrics of the group `class`; recordings with class -1 are left out.

    Averages over classes take the classes that occur in the split; a class that occurs and is never predicted has
    F1 0. `count/<CLASS>` is the number of its recordings, `share/<CLASS>` the weighted share of all recordings that are
    given this class. `prediction_entropy` is that of the shares of predicted classes, in nats; `probability_sd` the
    standard deviation over recordings of a class's predicted probability, averaged over classes. `nll` is the mean
    negative log-probability of the true class, in nats. `raw_NC` are the probabilities before a temperature, where
    there is one: `ece_raw` and `nll_raw` are theirs, and so is `probability_sd`, in which health rules look for
    outputs that do not vary.
    """
    names = (*SINGLE, *(f"{metric}/{name}" for name in class_names for metric in ("f1", "recall", "count", "share")))
    known_N = truth_N >= 0
    if not known_N.any():
        return none_of(names, "no recording of the split has a class")
    if predicted_NC is None:
        return none_of(names, "no class is predicted")
    probability_NC = doubles(predicted_NC[known_N])
    if not np.isfinite(probability_NC).all():
        return none_of(names, "predicted class probabilities are not finite")
    truth_N, weight_N, patient_N = truth_N[known_N], weight_N[known_N], patient_N[known_N]

    values, absent = _by_class(truth_N, probability_NC.argmax(1), weight_N, class_names, rare)
    count_C = np.bincount(truth_N, minlength=len(class_names))
    values |= {f"count/{name}": float(count) for name, count in zip(class_names, count_C, strict=True)}
    before_NC = probability_NC if raw_NC is None else doubles(raw_NC[known_N])
    values |= _of_predictions(probability_NC, weight_N, class_names)
    values["probability_sd"] = float(np.mean([weighted_sd(column_N, weight_N) for column_N in before_NC.T]))
    values["ece"] = calibration_error(probability_NC, truth_N, weight_N)
    values["nll"] = class_nll(probability_NC, truth_N, weight_N)
    if raw_NC is None:
        absent |= dict.fromkeys(("ece_raw", "nll_raw"), "no temperature is fitted")
    else:
        values["ece_raw"] = calibration_error(before_NC, truth_N, weight_N)
        values["nll_raw"] = class_nll(before_NC, truth_N, weight_N)
    values["patient_f1_macro"] = _patient_f1(probability_NC, truth_N, weight_N, patient_N)
    present = np.unique(truth_N)
    fold_M = None if fold_N is None else fold_N[known_N]
    areas = [auroc(truth_N == c, probability_NC[:, c], weight_N, fold_M) for c in present]
    known = [area for area in areas if area is not None]
    if known:
        values["auroc_macro"] = float(np.mean(known))
    elif len(present) == 1:
        absent["auroc_macro"] = f"every recording of the split is {class_names[present[0]]}"
    else:
        absent["auroc_macro"] = "every fold holds recordings of one class only"
    return checked(values, absent)


def _by_class(
    truth_N: NDArray[np.int64],
    predicted_N: NDArray[np.int64],
    weight_N: Array,
    class_names: Sequence[str],
    rare: Sequence[str],
) -> tuple[dict[str, float], dict[str, str]]:
    recall_C, f1_C = recall_and_f1(truth_N, predicted_N, weight_N, len(class_names))
    present = set(np.unique(truth_N).tolist())
    values = {
        "accuracy": weighted_mean((truth_N == predicted_N).astype(np.float64), weight_N),
        "balanced_accuracy": float(np.mean([recall_C[c] for c in sorted(present)])),
        "f1_macro": float(np.mean([f1_C[c] for c in sorted(present)])),
    }
    absent: dict[str, str] = {}
    for index, name in enumerate(class_names):
        if index in present:
            values |= {f"f1/{name}": f1_C[index], f"recall/{name}": recall_C[index]}
        else:
            absent |= dict.fromkeys((f"f1/{name}", f"recall/{name}"), f"no recording of the split is {name}")
    rare_f1 = [f1_C[index] for index, name in enumerate(class_names) if name in rare and index in present]
    if rare_f1:
        values["f1_rare"] = float(np.mean(rare_f1))
    else:
        absent["f1_rare"] = "no recording of the split is of a rare class" if rare else "the data name no rare classes"
    return values, absent


def recall_and_f1(
    truth_N: NDArray[np.int64], predicted_N: NDArray[np.int64], weight_N: Array, classes: int
) -> tuple[Array, Array]:
    """(C,) recall and F1 = 2 hits / (true + predicted) of each class, weighted; 0 where nothing can be counted."""
    hit_N = truth_N == predicted_N
    hits_C = np.bincount(truth_N[hit_N], weights=weight_N[hit_N], minlength=classes)
    true_C, predicted_C = (np.bincount(each, weights=weight_N, minlength=classes) for each in (truth_N, predicted_N))
    return _over(hits_C, true_C), _over(2 * hits_C, true_C + predicted_C)


def _over(above_C: NDArray[Any], below_C: NDArray[Any]) -> Array:
    share_C: Array = np.divide(above_C, below_C, out=np.zeros(len(above_C)), where=below_C > 0)
    return share_C


def _of_predictions(probability_NC: Array, weight_N: Array, class_names: Sequence[str]) -> dict[str, float]:
    predicted_N = probability_NC.argmax(1)
    share_C = np.bincount(predicted_N, weights=weight_N, minlength=probability_NC.shape[1]) / weight_N.sum()
    used = share_C[share_C > 0]
    shares = {f"share/{name}": float(share) for name, share in zip(class_names, share_C, strict=True)}
    return shares | {
        "predicted_classes": float(len(np.unique(predicted_N))),
        "largest_share": float(share_C.max()),
        "prediction_entropy": float(max(0.0, -(used * np.log(used)).sum())),
    }


def calibration_error(probability_NC: Array, truth_N: NDArray[np.int64], weight_N: Array) -> float:
    """Expected calibration error: mean over confidence bins of |accuracy - confidence|, weighted by the bin's share."""
    confidence_N = probability_NC.max(1)
    gap_N = (probability_NC.argmax(1) == truth_N) - confidence_N
    return float(np.abs(np.bincount(confidence_bin(confidence_N), weights=weight_N * gap_N)).sum() / weight_N.sum())


@dataclass(frozen=True, slots=True, eq=False)
class ClassTable:
    """What the classes of a split were taken for, and how sure the predictions were."""

    counts_CC: NDArray[np.int64]
    """Recordings by true class (rows) and predicted class (columns)."""
    bins: tuple[tuple[float, float, float, float, int], ...]
    """Low and high end of the confidence, its weighted mean, the weighted share of right ones, their count."""


def class_table(predicted_NC: Floats | None, truth_N: NDArray[np.int64], weight_N: Array) -> ClassTable | None:
    """Counted over the recordings with a class, in the bins of `calibration_error`; None without any."""
    known_N = truth_N >= 0
    if predicted_NC is None or not known_N.any() or not np.isfinite(predicted_NC[known_N]).all():
        return None
    probability_NC, truth_N, weight_N = doubles(predicted_NC[known_N]), truth_N[known_N], weight_N[known_N]
    predicted_N, confidence_N = probability_NC.argmax(1), probability_NC.max(1)
    num_classes = probability_NC.shape[1]
    counts = np.bincount(truth_N * num_classes + predicted_N, minlength=num_classes**2)
    bin_N = confidence_bin(confidence_N)
    bins = []
    for index in np.unique(bin_N).tolist():
        inside_N = bin_N == index
        confidence, right = (
            weighted_mean(values_N[inside_N], weight_N[inside_N])
            for values_N in (confidence_N, (predicted_N == truth_N).astype(np.float64))
        )
        bins.append((index / BINS, (index + 1) / BINS, confidence, right, int(inside_N.sum())))
    return ClassTable(counts.reshape(num_classes, num_classes).astype(np.int64), tuple(bins))


def confidence_bin(confidence_N: Array) -> NDArray[np.int64]:
    """(N,) which of BINS equal parts of [0, 1], each open below and closed above."""
    return np.clip(np.ceil(confidence_N * BINS).astype(np.int64) - 1, 0, BINS - 1)


def _patient_f1(
    probability_NC: Array, truth_N: NDArray[np.int64], weight_N: Array, patient_N: NDArray[np.str_]
) -> float:
    """Macro-F1 over units of patient and true class, each with its mean probabilities and its mean weight."""
    num_classes = probability_NC.shape[1]
    _, patient_index_N = np.unique(patient_N, return_inverse=True)
    unit_U, unit_N = np.unique(patient_index_N * num_classes + truth_N, return_inverse=True)
    sum_UC = np.stack([np.bincount(unit_N, weights=weight_N * column_N) for column_N in probability_NC.T], axis=1)
    unit_weight_U = np.bincount(unit_N, weights=weight_N) / np.bincount(unit_N)
    truth_U = unit_U % num_classes
    _, f1_C = recall_and_f1(truth_U, sum_UC.argmax(1), unit_weight_U, num_classes)
    return float(np.mean(f1_C[np.unique(truth_U)]))
