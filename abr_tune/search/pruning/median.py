"""The median rule: Golovin et al. 2017, Google Vizier, section 3.2.2."""

from __future__ import annotations

from abr_tune.plan.plan import Pruner
from abr_tune.search.observation import Values
from abr_tune.search.pruning.order import Key, Level, dominates, losses
from abr_tune.search.pruning.standing import Standing, numbers, shown
from core.health import Verdict


def below_median(standing: Standing, pruner: Pruner) -> Verdict | None:
    """Stop a trial whose best is worse than the median of the complete trials at its age.

    With several objectives: one that more than half of them dominate.
    """
    now, peers = standing.now, standing.finished.at(standing.now.age)
    if now.age < pruner.min_epochs or len(standing.finished) < pruner.startup_trials or not len(peers):
        return None
    return _dominated(standing, peers) if len(standing.objectives) > 1 else _worse(standing, peers)


def _worse(standing: Standing, peers: Level) -> Verdict | None:
    """Compared are violation and loss, so that an infeasible trial is worse than a feasible median."""
    own = [(point.violation, *losses(point.values, standing.objectives)) for point in standing.points]
    best, middle = min(own), _middle(peers)
    if best <= middle:
        return None
    sign = -1 if standing.objectives[0].direction == "maximize" else 1
    value, median, now = sign * best[1], sign * middle[1], standing.now
    return Verdict(
        level="stop",
        rule="median",
        why=f"at epoch {now.epoch} its best, {value:.4g}, is worse than the median {median:.4g} "
        f"of {len(peers)} complete trials",
        epoch=now.epoch,
        evidence={"best": value, "median": median, "trials": len(peers), "age": now.age},
    )


def _middle(peers: Level) -> Key:
    """The median of the marks: the middle one, or between the two in the middle the mean of each part."""
    low, high = peers.mark(peers.nth((len(peers) - 1) // 2)), peers.mark(peers.nth(len(peers) // 2))
    return tuple((a + b) / 2 for a, b in zip(low, high, strict=True))


def _dominated(standing: Standing, peers: Level) -> Verdict | None:
    now = standing.now

    def seen(violation: float, values: Values) -> Values:
        """Of infeasible trials only the violation counts: they are worse than any feasible one."""
        return (violation, *(values if not violation else ()))

    own = seen(now.violation, losses(now.values, standing.objectives))
    better = 0
    for number in peers.order():
        violation, *values = peers.mark(number)
        other = seen(violation, tuple(values))
        better += other[0] < own[0] or (len(other) == len(own) and dominates(other, own))
    if 2 * better <= len(peers):
        return None
    return Verdict(
        level="stop",
        rule="median",
        why=f"at epoch {now.epoch} {better} of {len(peers)} complete trials are better than {shown(now.values)} "
        "in every objective",
        epoch=now.epoch,
        evidence={**numbers(now.values), "better": better, "trials": len(peers), "age": now.age},
    )
