"""The trials as they compete: what each had at each age, who waits, and who goes on."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field

from abr_tune.plan.plan import Pruner
from abr_tune.search.fidelity import Point
from abr_tune.search.observation import Values
from abr_tune.search.pruning.halving import Outlook, behind
from abr_tune.search.pruning.ladder import bracket
from abr_tune.search.pruning.methods import PRUNERS, milestones
from abr_tune.search.pruning.order import Level
from abr_tune.search.pruning.standing import Finished, Standing, mean
from core.health import Verdict
from core.tasks.task import Objective


@dataclass(slots=True)
class Runner:
    """One trial in the field."""

    bracket: int
    rungs: frozenset[int]
    points: dict[int, Point] = field(default_factory=dict)
    """Epoch -> point."""
    by_age: dict[int, Point] = field(default_factory=dict)
    """Age -> the first point of that age; the age begins again when something is unfrozen."""


class Field:
    """Every comparison between the trials of one search, by the pruner's rules; it neither trains nor records.

    All values are finite: `Point`s are made from reports, which refuse others.
    """

    def __init__(self, pruner: Pruner, objectives: Sequence[Objective]) -> None:
        self._pruner = pruner
        self._objectives = objectives
        self._method = PRUNERS[pruner.kind]
        self._runners: dict[int, Runner] = {}
        self._levels: dict[tuple[int, int], Level] = {}
        """(age, bracket) -> the trials that got there."""
        self._place: dict[int, tuple[int, int]] = {}
        """Trial -> the level it waits at."""
        self._finished = Finished(objectives)

    @property
    def pauses(self) -> bool:
        """Whether trials pause at their rungs."""
        return self._method.pauses(self._pruner)

    @property
    def waiting(self) -> Set[int]:
        """Trials that are paused."""
        return self._place.keys()

    def enter(self, number: int, length: int | None, points: Sequence[Point] = ()) -> None:
        """A trial joins; `length` in epochs, None when unknown; `points` it has already."""
        own = bracket(self._pruner, length, number) if self._method.brackets else 0
        self._runners[number] = Runner(own, frozenset(milestones(self._pruner, length, number)))
        for point in points:
            self.note(number, point)

    def note(self, number: int, point: Point) -> None:
        """An epoch has ended. What the trial had at this epoch or later belongs to an earlier attempt."""
        runner = self._runners[number]
        if runner.points and point.epoch <= next(reversed(runner.points)):
            self.rewind(number, point.epoch)
        runner.points[point.epoch] = point
        if point.age > 0 and point.age not in runner.by_age:
            runner.by_age[point.age] = point
            if point.age in runner.rungs:
                self._level(point.age, runner.bracket).put(number, point.values, point.violation)

    def rewind(self, number: int, epoch: int) -> None:
        """Forget what the trial had at `epoch` and later."""
        runner = self._runners[number]
        kept = [point for known, point in runner.points.items() if known < epoch]
        for age in runner.by_age.keys() & runner.rungs:
            self._level(age, runner.bracket).drop(number)
        runner.points, runner.by_age = {}, {}
        for point in kept:
            self.note(number, point)

    def known(self, number: int, epoch: int) -> Point | None:
        """What an open trial had at an epoch."""
        return self._runners[number].points.get(epoch)

    def curve(self, number: int, levels: Set[int] | None = None) -> dict[int, Values]:
        """Age -> objectives of an open trial; with `levels`, up to the last of these ages that it reached.

        Where reports are no steps of one training, an age has the mean of the reports so far.
        """
        known = self._runners[number].by_age
        last = max(known.keys() if levels is None else known.keys() & levels, default=0)
        points = [point for age, point in sorted(known.items()) if age <= last]
        if self._method.every_report:
            return {point.age: mean(points[: place + 1]) for place, point in enumerate(points)}
        return {point.age: point.values for point in points}

    def worth(self, number: int, values: Values) -> Values:
        """The objectives of a trial that ran to its end with `values`: these, or the mean of its reports."""
        points = list(self._runners[number].by_age.values())
        return mean(points) if self._method.every_report and points else values

    def reached(self, number: int, epoch: int) -> int:
        """The age an open trial reached with this epoch for the first time; 0 when it reached none."""
        point = self._runners[number].points.get(epoch)
        return point.age if point is not None and self._runners[number].by_age.get(point.age) is point else 0

    def at_rung(self, number: int, epoch: int) -> bool:
        """Whether the trial has just reached a rung of its own."""
        return self.reached(number, epoch) in self._runners[number].rungs

    def arrived(self, number: int) -> bool:
        """Whether an open trial has reached any rung of its own."""
        return not self._runners[number].rungs.isdisjoint(self._runners[number].by_age)

    def judge(self, number: int, epoch: int) -> Verdict | None:
        """Whether the trial is to be stopped at the epoch it has just finished; never at age 0."""
        age, runner = self.reached(number, epoch), self._runners[number]
        if not age or self.pauses:
            return None
        standing = Standing(
            number=number,
            points=[point for known, point in sorted(runner.by_age.items()) if known <= age],
            level=self._level(age, runner.bracket) if age in runner.rungs else None,
            finished=self._finished,
            objectives=self._objectives,
        )
        return self._method.rule(standing, self._pruner)

    def wait(self, number: int) -> None:
        """The trial is paused at the last rung it reached."""
        runner = self._runners[number]
        place = max(runner.by_age.keys() & runner.rungs), runner.bracket
        self._place[number] = place
        self._levels[place].wait(number)

    def go_on(self, number: int) -> None:
        """The trial is no longer paused."""
        self._levels[self._place.pop(number)].go_on(number)

    def promotable(self, outlook: Outlook) -> int | None:
        """The paused trial that may go on: the best of the highest rung at which one is among the best share."""
        for _, level in sorted(self._levels.items(), key=lambda item: item[0], reverse=True):
            if level.waiting:
                found = level.first(self._method.places(len(level), self._pruner, outlook))
                if found is not None:
                    return found
        return None

    def furthest(self) -> int | None:
        """The paused trial that is best at the highest age anybody waits at; of several brackets the best of all."""
        held = [(age, level) for (age, _), level in self._levels.items() if level.waiting]
        top = [level for age, level in held if age == max(age for age, _ in held)]
        best = [(level.key(number), number) for level in top if (number := level.first()) is not None]
        return min(best)[1] if best else None

    def left_behind(self, number: int, outlook: Outlook) -> Verdict:
        """Why a paused trial is pruned where it stands, now that the search is over."""
        level, runner = self._levels[self._place[number]], self._runners[number]
        places = max(0, self._method.places(len(level), self._pruner, outlook))
        return behind(
            self._pruner.kind,
            runner.by_age[self._place[number][0]],
            level,
            number=number,
            places=places,
            what="it waited there and was not among those that went on",
        )

    def leave(self, number: int, *, complete: bool = False) -> None:
        """The trial has ended; what it had at its rungs stays."""
        if number in self._place:
            self.go_on(number)
        runner = self._runners.pop(number)
        if complete and self._method.remembers:
            self._finished.add(number, sorted(runner.by_age.values(), key=lambda point: point.age))

    def _level(self, age: int, of: int) -> Level:
        return self._levels.setdefault((age, of), Level(self._objectives))
