"""Constraints on outcomes: by how much the metrics of an epoch miss what the plan asks of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from abr_tune.plan.plan import Bound, Constraint

HEALTH = "health"
"""The constraint every plan has: not to be stopped by a health rule; its violation says how bad it was."""
OVER: Final = "limits"
"""The constraint of a plan with limits of time or memory per trial."""


def missed(bound: Bound, value: float) -> float:
    """By how much `value` misses a bound, in the metric's own unit; 0 where it meets it.

    A value that lies exactly on a strict bound misses it by the smallest number there is at that place.
    """
    over = bound.value - value if bound.operator in {">", ">="} else value - bound.value
    if bound.operator == "==":
        return abs(over)
    if over == 0 and bound.operator in {">", "<"}:
        return math.ulp(bound.value)
    return max(0.0, over)


def violations(
    metrics: Mapping[str, float], constraints: Sequence[Constraint], *, at_end: bool = False
) -> dict[str, float]:
    """Constraint -> by how much it is missed.

    A metric that is absent is not judged, but `at_end`, when nothing more will come, it counts as missed by the size
    of its bound and by at least 1: a trial whose constraint cannot be checked is not eligible as the best.
    """
    found: dict[str, float] = {}
    for constraint in constraints:
        if constraint.metric in metrics:
            miss = missed(constraint.bound, metrics[constraint.metric])
        elif at_end:
            miss = max(1.0, abs(constraint.bound.value))
        else:
            continue
        found[constraint.metric] = max(miss, found.get(constraint.metric, 0.0))
    return found


def total(found: Mapping[str, float]) -> float:
    """The violations as one number, by which infeasible trials are ranked (Deb 2000, constraint domination)."""
    return math.fsum(found.values())
