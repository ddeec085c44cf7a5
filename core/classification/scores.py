"""Scores of a classification, and of what looks at no example."""

# N examples, K classes.

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from core.classification.dataset import ClassifierDataset, pooled
from core.data.labelled import Labelled
from core.metrics.classes import class_metrics
from core.metrics.values import Values

Floats = NDArray[np.float64]


def scores(
    probability_NK: Floats,
    truth: Labelled,
    *,
    split: str,
    rare: Sequence[str],
    fold_N: NDArray[np.int64] | None = None,
) -> Values:
    """Every metric of the group `class`, named `<split>/class/<metric>`; a patient is a group of the examples."""
    found = class_metrics(
        probability_NK,
        truth.class_index,
        weight_N=np.ones(len(truth)),
        patient_N=truth.group,
        class_names=truth.class_names,
        rare=rare,
        fold_N=fold_N,
    )
    return found.under(f"{split}/class")


def trivial(trains: Sequence[Labelled], held_out: Sequence[Labelled]) -> Floats:
    """(N, K) class shares of the training part of each fold, for what it holds out: its majority."""
    rows = [np.tile(train.counts() / len(train), (len(part), 1)) for train, part in zip(trains, held_out, strict=True)]
    return np.concatenate(rows)


def baselines(data: ClassifierDataset, split: str) -> Mapping[str, float]:
    """Scores of the class shares of the training part, on a held-out part."""
    held_out = data.held_out(split)
    return scores(trivial(data.trains(), held_out), pooled(held_out), split=split, rare=data.rare).values
