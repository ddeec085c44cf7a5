"""How far a trial has come, in the only measure by which trials are compared: the age of what its objectives measure.

Two trials at the same epoch may be in different phases: one may have trained its classes for ten epochs and the other
for none. Values are only ever compared at the same age.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from abr_tune.plan.plan import Constraint
from abr_tune.search.constraints import total, violations
from abr_tune.search.observation import Values
from core.report import EpochReport
from core.tasks.task import Objective


@dataclass(frozen=True, slots=True)
class Point:
    """What one epoch of a trial says of its objectives."""

    epoch: int
    """Epochs finished."""
    age: int
    """Epochs for which what the objectives measure has been trained; 0: not yet, nothing is compared."""
    values: Values
    """The objectives, in the order of the plan."""
    violation: float = 0.0
    """By how much the plan's constraints are missed at this epoch, summed; 0 when they are met."""


def age(report: EpochReport, metric: str) -> int:
    """Epochs for which what `metric` measures has been trained: of its terms the least trained one's.

    The terms of `<split>/<group>/<name>` are the one called `<group>` and those that begin with `<group>_`. Where the
    report names none of them, the epoch itself.
    """
    parts = metric.split("/")
    if len(parts) < 2:
        return report.epoch
    group = parts[1]
    own = [epochs for term, epochs in report.active.items() if term == group or term.startswith(f"{group}_")]
    return min(own, default=report.epoch)


def age_of(report: EpochReport, objectives: Sequence[Objective]) -> int:
    """The age at which a report is compared: of several objectives that of the one trained for the shortest time."""
    return min((age(report, objective.metric) for objective in objectives), default=report.epoch)


def by_age(points: Iterable[Point]) -> dict[int, Point]:
    """Age above 0 -> the first point that has it: an age stands still, or begins again, when something is unfrozen."""
    found: dict[int, Point] = {}
    for point in points:
        if point.age > 0:
            found.setdefault(point.age, point)
    return found


def point_of(
    report: EpochReport, objectives: Sequence[Objective], constraints: Sequence[Constraint] = ()
) -> Point | None:
    """What a report says of the objectives; None unless it has all of them. Its numbers are finite by its own rule."""
    if not report.complete or any(objective.metric not in report.metrics for objective in objectives):
        return None
    values = tuple(float(report.metrics[objective.metric]) for objective in objectives)
    missed = total(violations(report.metrics, constraints))
    return Point(report.epoch, age_of(report, objectives), values, missed)
