"""Wilcoxon's signed-rank test over reports that are folds or seeds: a trial's value is the mean of its reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from abr_tune.plan.plan import Pruner
from abr_tune.search.observation import Values
from abr_tune.search.pruning.order import losses
from abr_tune.search.pruning.standing import Standing, mean, numbers, shown
from core.health import Verdict


def surely_worse(standing: Standing, pruner: Pruner) -> Verdict | None:
    """Stop a trial that is worse than the best complete one on the reports both have, by a paired test.

    One-sided, zeros split (Pratt 1959), at `p_value` and from `min_epochs` reports on. A trial whose mean is not worse
    is never stopped. With several objectives the best are those of the front, and one of them must be better in every
    objective, each by the test.
    """
    if len(standing.points) < pruner.min_epochs:
        return None
    own = {point.age: losses(point.values, standing.objectives) for point in standing.points}
    for rival in _front(standing):
        curve = {age: losses(values, standing.objectives) for age, values in standing.finished.curve(rival).items()}
        found = _p_value(own, curve)
        if found is not None and found < pruner.p_value:
            return _verdict(standing, pruner, rival, found, len(own.keys() & curve.keys()))
    return None


def _front(standing: Standing) -> list[int]:
    """The best complete trials: the first by its mean, with several objectives all that no other one dominates."""
    means, front = standing.finished.by_mean(), list[int]()
    for number in means.order():
        if front and (len(standing.objectives) == 1 or means.key(number)[:2] != means.key(front[0])[:2]):
            break
        front.append(number)
    return front


def _p_value(own: Mapping[int, Values], rival: Mapping[int, Values]) -> float | None:
    """How likely the trial is as good after all; None where its mean is not worse in every objective."""
    from scipy.stats import wilcoxon

    shared = sorted(own.keys() & rival.keys())
    worst = 0.0
    for side in range(len(next(iter(own.values())))):
        excess = [own[age][side] - rival[age][side] for age in shared]
        if sum(excess) <= 0:
            return None
        found: Any = wilcoxon(excess, zero_method="zsplit", alternative="greater")
        worst = max(worst, float(found.pvalue))
    return worst


def _verdict(standing: Standing, pruner: Pruner, rival: int, p: float, pairs: int) -> Verdict:
    own = mean(standing.points)
    return Verdict(
        level="stop",
        rule="wilcoxon",
        why=f"over {pairs} reports its mean {shown(own)} is worse than that of trial {rival} "
        f"(signed-rank test, p = {p:.3g} under {pruner.p_value:g})",
        epoch=standing.now.epoch,
        evidence={**numbers(own), "p": p, "trial": rival, "reports": pairs},
    )
