"""What a ranking rule sees: a trial at the age it has just reached, and the others it may be compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from abr_tune.plan.plan import Pruner
from abr_tune.search.fidelity import Point
from abr_tune.search.observation import Values
from abr_tune.search.pruning.order import Level
from core.health import Verdict
from core.tasks.task import Objective


class Finished:
    """The learning curves of the trials that ran to their end."""

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self._objectives = objectives
        self._at: dict[int, Level] = {}
        self._curves: dict[int, Mapping[int, Values]] = {}
        self._means = Level(objectives)

    def __len__(self) -> int:
        return len(self._curves)

    def add(self, number: int, points: Sequence[Point]) -> None:
        """A trial has run to its end, through these points, each age once."""
        self._curves[number] = {point.age: point.values for point in points}
        for point in points:
            self._at.setdefault(point.age, Level(self._objectives)).put(number, point.values, point.violation)
        if points:
            self._means.put(number, mean(points), points[-1].violation)

    def at(self, age: int) -> Level:
        """The trials that reached an age, by what they had there."""
        return self._at.get(age) or Level(self._objectives)

    def curve(self, number: int) -> Mapping[int, Values]:
        """Age -> objectives of a trial."""
        return self._curves[number]

    def by_mean(self) -> Level:
        """The trials by the mean over their reports."""
        return self._means


def mean(points: Sequence[Point]) -> Values:
    """The objectives, each averaged over `points`, of which there is at least one."""
    return tuple(fmean(side) for side in zip(*(point.values for point in points), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A trial at the age it has just reached."""

    number: int
    points: Sequence[Point]
    """Its own, each age above 0 once, in the order of the ages; the last is the one judged."""
    level: Level | None
    """The trials of its bracket that reached this age, itself included; None when the age is no rung of it."""
    finished: Finished
    objectives: Sequence[Objective]

    @property
    def now(self) -> Point:
        """The point judged."""
        return self.points[-1]


Rule = Callable[[Standing, Pruner], Verdict | None]
"""A stop with its reason, or None to go on."""


def shown(values: Values) -> str:
    """Objectives in a sentence."""
    text = ", ".join(f"{value:.4g}" for value in values)
    return text if len(values) == 1 else f"({text})"


def numbers(values: Values) -> dict[str, float | str]:
    """Objectives as evidence: `value`, or `value_0`, `value_1`, ..."""
    if len(values) == 1:
        return {"value": values[0]}
    return {f"value_{i}": value for i, value in enumerate(values)}
