"""What the steps of an epoch say about its health, as plain numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median, pstdev
from typing import Final

import numpy as np

from core.training.step import Step
from core.training.watch import signals as seen

LARGE_NORM: Final = 10.0
"""Gradient norm from which document 000 speaks of explosion."""
LAST: Final = 5
"""Epochs over which the unrest of the objective is told."""
SLOPE_EPOCHS: Final = 5
"""Epochs the slope of a loss is fitted over."""


@dataclass(slots=True)
class EpochSteps:
    """The optimiser steps of one epoch, of all folds."""

    steps: list[Step] = field(default_factory=list)
    settings: Mapping[str, float] = field(default_factory=dict)
    """What phases and schedules had set for the last of them, by signal."""

    def losses(self) -> dict[str, float]:
        """Term -> training loss of the epoch before its weight: sums over all finite steps, then divided."""
        numerators: dict[str, float] = defaultdict(float)
        denominators: dict[str, float] = defaultdict(float)
        for step in self.steps:
            if step.broken is None:
                for term, value in step.numerators.items():
                    numerators[term] += value
                    denominators[term] += step.denominators[term]
        return {term: numerators[term] / denominators[term] for term in numerators if denominators[term] > 0}

    def signals(self) -> dict[str, float]:
        """`steps`, `non_finite` (skipped steps), and over the finite steps the gradient norm before clipping.

        `grad_norm` is the median, `grad_norm_max` the largest, `grad_norm_over_10` the share above 10. `update_ratio`
        is that of the epoch's last step, averaged over folds. `weight/<term>` is what the term's loss counted, averaged
        over steps, where that changes; `gate/<part>`, `dropout` and `weight_decay` are those of the last step, where
        phases or schedules set them. What was looked at is in `core.training.watch.signals`.
        """
        found = {"steps": float(len(self.steps))}
        found["non_finite"] = float(sum(step.broken is not None for step in self.steps))
        norms = [step.norm for step in self.steps if step.broken is None]
        if norms:
            found["grad_norm"] = median(norms)
            found["grad_norm_max"] = max(norms)
            found["grad_norm_over_10"] = fmean(norm > LARGE_NORM for norm in norms)
        ratios = [step.update_ratio for step in self.steps if step.update_ratio is not None]
        if ratios:
            found["update_ratio"] = fmean(ratios)
        counted: dict[str, list[float]] = defaultdict(list)
        for step in self.steps:
            for term, weight in step.weights.items() if step.broken is None else ():
                counted[f"weight/{term}"].append(weight)
        looks = [step.look for step in self.steps if step.look is not None]
        return found | {name: fmean(weights) for name, weights in counted.items()} | dict(self.settings) | seen(looks)


def recent(scores: Sequence[float], score: float | None) -> list[float]:
    """The last scores with this epoch's; an epoch without one begins them again."""
    return [] if score is None else [*scores, score][-LAST:]


def spread(scores: Sequence[float]) -> dict[str, float]:
    """`objective_sd_last5`: standard deviation of the objective over the last five epochs, once there are five."""
    return {"objective_sd_last5": pstdev(scores)} if len(scores) == LAST else {}


def slopes(history: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Term -> slope per epoch of its last losses, as a share of their mean absolute value (least squares).

    -0.02 means that the loss falls by two percent an epoch. A term with fewer than two losses has none.
    """
    found = {}
    for term, losses in history.items():
        last = np.asarray(losses[-SLOPE_EPOCHS:])
        size = np.abs(last).mean() if last.size else 0.0
        if last.size >= 2 and size > 0:
            centred = np.arange(last.size) - (last.size - 1) / 2
            found[term] = float(centred @ last / (centred @ centred) / size)
    return found
