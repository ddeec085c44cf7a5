"""Successive halving: of the trials that reach a rung, one in `reduction` goes on (Li et al. 2020, 1810.05934)."""

from __future__ import annotations

from dataclasses import dataclass

from abr_tune.plan.plan import Pruner, PrunerName
from abr_tune.search.fidelity import Point
from abr_tune.search.pruning.order import Level
from abr_tune.search.pruning.standing import Standing, numbers, shown
from core.health import Verdict


@dataclass(frozen=True, slots=True)
class Outlook:
    """How much of the search is still ahead when somebody asks who goes on."""

    trials: int
    """The budget's."""
    top: int
    """Leaders that will be trained again with fresh seeds."""
    arriving: int | None
    """Trials that may still reach their first rung; None while new ones may begin."""


def outside_top(standing: Standing, pruner: Pruner) -> Verdict | None:
    """Stop a trial that reaches a rung outside the best max(1, n // reduction) of the n there; equals go on too."""
    level = standing.level
    if level is None:
        return None
    places, ahead = max(1, len(level) // pruner.reduction), level.ahead(standing.number)
    if ahead < places:
        return None
    return behind(pruner.kind, standing.now, level, number=standing.number, places=places, what=f"{places} go on")


def best_share(reached: int, pruner: Pruner, _outlook: Outlook) -> int:
    """How many of the trials that reached a rung may go on: one in `reduction`, rounded down."""
    return reached // pruner.reduction


def screened(reached: int, pruner: Pruner, outlook: Outlook) -> int:
    """How many of the screened trials are sure to be among the share that is kept, at least `top` of them.

    None while new trials begin; later those that stay among them even if all that are still arriving are better.
    """
    if outlook.arriving is None:
        return 0
    return max(0, max(outlook.top, round(pruner.keep * outlook.trials)) - outlook.arriving)


def behind(kind: PrunerName, now: Point, level: Level, *, number: int, places: int, what: str) -> Verdict:
    """The verdict on a trial that is not among the best at a rung."""
    ahead = level.ahead(number)
    why = f"at {_at(now)} {ahead} of the {len(level)} trials that got there are better than {shown(now.values)}"
    if now.violation:
        why += f" with constraints missed by {now.violation:.3g}"
    evidence: dict[str, float | str] = {
        **numbers(now.values),
        "ahead": ahead,
        "reached": len(level),
        "places": places,
        "age": now.age,
    }
    return Verdict(level="stop", rule=kind, why=f"{why}; {what}", epoch=now.epoch, evidence=evidence)


def _at(now: Point) -> str:
    return f"epoch {now.epoch}" if now.age == now.epoch else f"epoch {now.epoch} (age {now.age})"
