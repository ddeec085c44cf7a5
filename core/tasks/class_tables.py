"""What the classes of a split were taken for, as plain records."""

from __future__ import annotations

from collections.abc import Sequence

from core.metrics.classes import ClassTable
from core.tasks.task import Confusion, Reliability


def confusion(table: ClassTable | None, names: Sequence[str], trained: Sequence[int] = ()) -> Confusion | None:
    """How often each true class was predicted as which; None where no class is predicted.

    `trained` are the examples of each class that the weights were trained on, where they are known.
    """
    if table is None:
        return None
    counts = tuple(tuple(row) for row in table.counts_CC.tolist())
    return Confusion(classes=tuple(names), counts=counts, trained=tuple(trained))


def calibration(table: ClassTable | None) -> tuple[Reliability, ...]:
    """The stretches of confidence that hold predictions, in order; empty where no class is predicted."""
    if table is None:
        return ()
    return tuple(
        Reliability(low=low, high=high, confidence=confidence, accuracy=accuracy, count=count)
        for low, high, confidence, accuracy, count in table.bins
    )
