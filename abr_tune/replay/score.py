"""What simulated searches are judged by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import mean, median
from typing import Final

from abr_tune.replay.ground import BAD, Ground
from abr_tune.replay.simulate import Course, Ended, Played

SHARES: Final = (0.125, 0.25, 0.5, 1.0)
"""Of the budget, at which regret is read."""
NEAR: Final = (0.05, 0.01)
"""Regret at which a search counts as within 5 % and 1 % of the best."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One simulated search in numbers."""

    seed: int
    spent: int
    trials: int
    regret: tuple[float, ...]
    """At `SHARES` of the budget."""
    reached: tuple[int | None, ...]
    """Epochs spent until the regret was at most `NEAR`; None: never."""
    saved_by_rules: float
    """Share of the epochs that full trainings of the trials begun would have taken."""
    saved_by_ranking: float
    false_stops: int
    """Of the ten best configurations, those that a health rule stopped."""
    collapsing: float
    """Share of the trials begun whose full training ends collapsed, diverged or not finite."""
    delays: tuple[int, ...] = ()
    """Epochs from the end of grace to the stop by a rule, of trials whose full training ends collapsed."""
    missed: int = 0
    """Such trials that no rule stopped, though they were trained to their end."""
    ran_out: bool = False
    """Every recorded configuration had been tried before the budget was spent."""
    curve: tuple[tuple[int, float], ...] = field(default=(), repr=False)
    """(epochs spent, regret from then on)."""


def score(played: Played, ground: Ground, *, seed: int, budget: int) -> Score:
    """The numbers of one search."""
    courses = list(played.courses.values())
    full = sum(course.run.length for course in courses) or 1
    collapsed = [course for course in courses if course.run.fate == "collapsed"]
    curve = tuple((at, ground.regret(run)) for at, run in played.choices)
    return Score(
        seed=seed,
        spent=played.spent,
        trials=len(courses),
        regret=tuple(ground.regret(played.choice_at(int(share * budget))) for share in SHARES),
        reached=tuple(next((at for at, regret in curve if regret <= near), None) for near in NEAR),
        saved_by_rules=_saved(courses, ("rule", "non_finite")) / full,
        saved_by_ranking=_saved(courses, ("ranking", "paused")) / full,
        false_stops=sum(course.ended == "rule" and course.run.number in ground.top for course in courses),
        collapsing=mean(course.run.fate in BAD for course in courses) if courses else 0.0,
        delays=tuple(
            course.epochs - course.run.grace
            for course in collapsed
            if course.ended == "rule" and course.run.grace is not None
        ),
        missed=sum(course.ended == "complete" for course in collapsed),
        ran_out=played.ran_out,
        curve=curve,
    )


def _saved(courses: Sequence[Course], ended: tuple[Ended, ...]) -> int:
    return sum(course.run.length - course.epochs for course in courses if course.ended in ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A method over all seeds."""

    method: str
    label: str
    seeds: int
    trials: float
    """Mean number of configurations begun."""
    regret: tuple[float, ...]
    """Mean over seeds, at `SHARES`."""
    regret_sd: tuple[float, ...]
    reached: tuple[int | None, ...]
    """Median epochs over all seeds, those that never got there last; None where most never did."""
    reached_share: tuple[float, ...]
    saved_by_rules: float
    saved_by_ranking: float
    false_stops: float
    delay: float | None
    """Mean over all stopped collapsed trials of all seeds; None without any."""
    missed: float
    collapsing: float
    ran_out: float
    """Share of the seeds."""


def row(method: str, label: str, scores: Sequence[Score]) -> Row:
    """Means and medians over seeds."""

    def over(read: Callable[[Score], float]) -> float:
        return mean(read(each) for each in scores)

    delays = [delay for each in scores for delay in each.delays]
    near = range(len(NEAR))
    means = tuple(mean(each.regret[i] for each in scores) for i in range(len(SHARES)))
    return Row(
        method=method,
        label=label,
        seeds=len(scores),
        trials=over(lambda each: each.trials),
        regret=means,
        regret_sd=tuple(_sd([each.regret[i] for each in scores]) for i in range(len(SHARES))),
        reached=tuple(_median([each.reached[i] for each in scores]) for i in near),
        reached_share=tuple(mean(each.reached[i] is not None for each in scores) for i in near),
        saved_by_rules=over(lambda each: each.saved_by_rules),
        saved_by_ranking=over(lambda each: each.saved_by_ranking),
        false_stops=over(lambda each: each.false_stops),
        delay=mean(delays) if delays else None,
        missed=over(lambda each: each.missed),
        collapsing=over(lambda each: each.collapsing),
        ran_out=over(lambda each: each.ran_out),
    )


def _median(reached: Sequence[int | None]) -> int | None:
    """The median, with `never` above every number."""
    middle = median(float("inf") if at is None else float(at) for at in reached)
    return None if middle == float("inf") else round(middle)


def _sd(values: Sequence[float]) -> float:
    centre = mean(values)
    return float((sum((value - centre) ** 2 for value in values) / max(1, len(values) - 1)) ** 0.5)
