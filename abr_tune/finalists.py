"""The leaders of a search, trained again with fresh seeds and ranked by the fresh runs alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from abr_tune.front import values_of
from abr_tune.limits import LIMITS
from abr_tune.plan.plan import Constraint
from abr_tune.repeats import Direction, Interval, Score
from abr_tune.search.constraints import total, violations
from abr_tune.search.events import TrialRecord
from abr_tune.search.fidelity import Point, point_of
from abr_tune.search.observation import Values
from abr_tune.search.pruning.order import crowding, fronts, losses
from core.health.severity import SEVERITIES
from core.report import EpochReport
from core.tasks.task import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class Finalist:
    """One leader and its fresh runs."""

    trial: int
    searched: float
    """The first objective in the search, on the search's seed."""
    values: tuple[float | None, ...] = ()
    """The first objective of each fresh run; None where it did not end with one."""
    metrics: Mapping[str, float]
    """Mean over the fresh runs of every metric all of them have; of the search's run when there are none."""
    direction: Direction = "maximize"
    others: Mapping[str, Score] = field(default_factory=dict)
    """The further objectives."""
    violations: Mapping[str, float] = field(default_factory=dict)
    """Constraint -> by how much `metrics` miss it; 0 where they meet it."""
    folds: int = 0
    """Folds the fresh runs were trained on, in turn; 0: the plan's own division of the data."""
    runs: tuple[str, ...] = ()
    """Where the fresh runs lie, relative to the run folder, in the order of the values."""
    unfinished: int | None = None
    """The epoch at which the search left the trial; None for one that ran to its end."""

    @property
    def score(self) -> Score:
        """The first objective."""
        return Score(searched=self.searched, values=self.values, direction=self.direction, folds=self.folds)

    @property
    def stable(self) -> bool:
        """Whether every fresh run ended with every objective."""
        return all(score.stable for score in (self.score, *self.others.values()))

    @property
    def feasible(self) -> bool:
        """Whether the means meet every constraint."""
        return all(missed <= 0 for missed in self.violations.values())

    @property
    def mean(self) -> float | None:
        """Mean of the first objective's fresh values; None without any."""
        return self.score.mean

    @property
    def sd(self) -> float | None:
        """Their standard deviation; None with fewer than two."""
        return self.score.sd

    @property
    def interval(self) -> Interval | None:
        """95 % interval of their mean."""
        return self.score.interval

    @property
    def reach(self) -> float | None:
        """How far a further fresh run may lie from the searched value; see `Score.reach`."""
        return self.score.reach

    def expected(self, objectives: Sequence[Objective]) -> Values | None:
        """The objectives as they are to be expected: fresh means, or searched values where nothing was trained again.

        None when a mean is missing.
        """
        scores = (self.score, *(self.others[objective.metric] for objective in objectives[1:]))
        found = [score.mean if score.values else score.searched for score in scores]
        return tuple(value for value in found if value is not None) if None not in found else None

    def to_json(self) -> dict[str, Any]:
        """One of the `finalists` of `summary.json`."""
        return {
            "trial": self.trial,
            **self.score.to_json(),
            "others": {metric: score.to_json() for metric, score in self.others.items()},
            "metrics": dict(self.metrics),
            "violations": dict(self.violations),
            "feasible": self.feasible,
            "folds": self.folds,
            "runs": list(self.runs),
            "unfinished": self.unfinished,
        }


def leaders(records: Iterable[TrialRecord], objectives: Sequence[Objective], top: int) -> list[TrialRecord]:
    """The `top` best complete trials; the feasible ones, or, when there are none, those that miss the least.

    By one objective: best value first, equal values in the order they were tried. By several: the Pareto front, and
    the fronts behind it as far as there is room; the last that does not fit whole is thinned where it is densest, so
    that its spread is kept, and all stand in the order of their fronts and of the first objective.
    """
    complete = [record for record in records if values_of(record)]
    able = [record for record in complete if record.feasible]
    if not able:
        return sorted(complete, key=lambda record: (total(record.violations), _losses(record, objectives)))[:top]
    if len(objectives) == 1:
        return sorted(able, key=lambda record: (_losses(record, objectives), record.number))[:top]
    rank = fronts([_losses(record, objectives) for record in able])
    chosen: list[TrialRecord] = []
    for level in range(max(rank) + 1):
        members = [record for record, own in zip(able, rank, strict=True) if own == level]
        members.sort(key=lambda record: (_losses(record, objectives), record.number))
        chosen += thinned(members, top - len(chosen), objectives)
    return chosen


def thinned(members: Sequence[TrialRecord], keep: int, objectives: Sequence[Objective]) -> list[TrialRecord]:
    """At most `keep` of a front: the most crowded goes, again and again; of equals the worst by the first objective.

    Room is measured anew after each removal (Kukkonen and Deb 2006): dropping the most crowded ones at once would
    tear a hole where several stood together.
    """
    left = list(members)
    while len(left) > max(0, keep):
        room = crowding([_losses(record, objectives) for record in left])
        least = min(range(len(left)), key=lambda index: (room[index], -index))
        del left[least]
    return left


def unfinished_leaders(
    records: Iterable[TrialRecord],
    histories: Mapping[int, Sequence[EpochReport]],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    top: int,
) -> list[TrialRecord]:
    """The most promising trials of a search that a deadline ended before any was complete.

    The oldest first, in epochs for which the objectives have been trained, and of the same age the better one; each as
    a record of the last epoch that has all objectives. Trials that broke a health rule or a limit, or failed, are no
    candidates.
    """
    found: list[tuple[tuple[Any, ...], TrialRecord]] = []
    for record in records:
        if record.state == "failed" or record.pruned_by in (*SEVERITIES, *LIMITS):
            continue
        reports = [report for report in histories.get(record.number, ()) if point_of(report, objectives)]
        if reports:
            point = point_of(reports[-1], objectives, constraints)
            if point is not None and point.age > 0:
                found.append((_promise(point, objectives, record.number), _as_far_as(record, reports[-1], point)))
    return [record for _, record in sorted(found, key=lambda pair: pair[0])[:top]]


def finalist(
    record: TrialRecord,
    last_reports: Sequence[EpochReport | None],
    objectives: Sequence[Objective],
    *,
    constraints: Sequence[Constraint] = (),
    folds: int = 0,
    runs: Sequence[str] = (),
) -> Finalist:
    """A leader with the last reports of its fresh runs (None for a run that left none)."""
    found = [report.metrics for report in last_reports if report is not None]
    shared = set.intersection(*(set(metrics) for metrics in found)) if found else set()
    means = {name: fmean(metrics[name] for metrics in found) for name in sorted(shared)}
    metrics = means if found else dict(record.metrics or {})
    searched = record.values or ((record.value,) if record.value is not None else ())
    scores = {
        objective.metric: Score(
            searched=float(value),
            values=tuple(None if report is None else report.metrics.get(objective.metric) for report in last_reports),
            direction=objective.direction,
            folds=folds,
        )
        for objective, value in zip(objectives, searched, strict=True)
    }
    first = scores.pop(objectives[0].metric)
    return Finalist(
        trial=record.number,
        searched=first.searched,
        values=first.values,
        metrics=metrics,
        direction=first.direction,
        others=scores,
        violations=violations(metrics, constraints, at_end=True),
        folds=folds,
        runs=tuple(runs),
        unfinished=None if record.state == "complete" else record.epochs,
    )


def rank(finalists: Iterable[Finalist], objectives: Sequence[Objective]) -> list[Finalist]:
    """Best first by the fresh runs alone.

    One that broke on a fresh seed comes after those that did not, one that misses a constraint after those that meet
    all, by how much; then by the front its means lie in, and by the first objective.
    """
    given = list(finalists)
    means = [candidate.expected(objectives) for candidate in given]
    turned = [None if values is None else losses(values, objectives) for values in means]
    whole = [index for index, values in enumerate(turned) if values is not None]
    level = dict(zip(whole, fronts([turned[index] or () for index in whole]), strict=True))

    def place(index: int) -> tuple[Any, ...]:
        candidate, values = given[index], turned[index]
        missed = total(candidate.violations)
        # By one objective the fronts only repeat its order, equal values apart.
        front = level.get(index, len(given)) if len(objectives) > 1 else 0
        return not candidate.stable, missed, front, (float("inf"),) if values is None else values, index

    return [given[index] for index in sorted(range(len(given)), key=place)]


def mean_optimism(finalists: Iterable[Finalist]) -> float | None:
    """By how much the search flattered its leaders, on average; None when nothing was trained again."""
    found = [candidate.score.optimism for candidate in finalists]
    known = [optimism for optimism in found if optimism is not None]
    return fmean(known) if known else None


def confirmed(finalists: Sequence[Finalist]) -> dict[str, Any]:
    """What fresh runs say of the first of the finalists: `best.confirmed` of `summary.json` and of `best.yaml`."""
    best = finalists[0]
    return {
        "seeds": len(best.values) // max(1, best.folds),
        "folds": best.folds,
        "mean": best.mean,
        "sd": best.sd,
        "interval": None if best.interval is None else list(best.interval),
        "optimism": best.score.optimism,
        "optimism_of_finalists": mean_optimism(finalists),
    }


def _losses(record: TrialRecord, objectives: Sequence[Objective]) -> Values:
    return losses(values_of(record), objectives)


def _promise(point: Point, objectives: Sequence[Objective], number: int) -> tuple[Any, ...]:
    """Smaller is more promising."""
    return -point.age, point.violation, losses(point.values, objectives), number


def _as_far_as(record: TrialRecord, report: EpochReport, point: Point) -> TrialRecord:
    """The record of a trial as of one of its reports."""
    return replace(
        record, value=point.values[0], values=point.values, metrics=dict(report.metrics), epochs=report.epoch
    )
