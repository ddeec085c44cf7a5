"""The pruners: how each compares trials, as one table of pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from abr_tune.plan.plan import Pruner, PrunerName
from abr_tune.search.pruning import ladder
from abr_tune.search.pruning.halving import Outlook, best_share, outside_top, screened
from abr_tune.search.pruning.median import below_median
from abr_tune.search.pruning.standing import Rule, Standing
from abr_tune.search.pruning.wilcoxon import surely_worse
from core.health import Verdict


def no_ranking(_standing: Standing, _pruner: Pruner) -> Verdict | None:
    """Every trial runs to its end unless a health rule stops it."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One way to compare trials."""

    rungs: Callable[[Pruner, int | None], tuple[int, ...]] = ladder.none
    """Ages at which a trial of a length waits to be compared with those that got there."""
    rule: Rule = no_ranking
    """Asked after every epoch of a trial that does not pause; may stop it for good."""
    pauses: Callable[[Pruner], bool] = lambda _pruner: False
    """Whether trials pause at their rungs, and only the best go on from their checkpoints."""
    places: Callable[[int, Pruner, Outlook], int] = best_share
    """Of the trials that reached a rung and paused, how many of the best go on."""
    brackets: bool = False
    """Whether trials are spread over brackets, each of which begins at another rung.

    They are compared within their bracket (Li et al. 2018): those that came to a rung from a bracket below were chosen
    there, and beside the chosen ones the newcomers of a cautious bracket, which exists to give them time, would lose.
    """
    remembers: bool = False
    """Whether the rule compares with the whole curves of the trials that ran to their end."""
    every_report: bool = False
    """Whether the rule compares reports that are no steps of one training: the value of a trial is their mean."""
    levels: Callable[[Pruner, int | None], tuple[int, ...]] | None = None
    """Ages at which the sampler may compare trials, where these are not the rungs."""


def _promotes(pruner: Pruner) -> bool:
    return pruner.promote


PRUNERS: Final[Mapping[PrunerName, Method]] = {
    "none": Method(),
    "median": Method(rule=below_median, remembers=True, levels=ladder.rungs),
    "successive_halving": Method(rungs=ladder.rungs, rule=outside_top, pauses=_promotes),
    "hyperband": Method(rungs=ladder.rungs, rule=outside_top, pauses=_promotes, brackets=True),
    "screening": Method(rungs=ladder.first, pauses=lambda _pruner: True, places=screened),
    "wilcoxon": Method(rule=surely_worse, remembers=True, every_report=True),
}


def levels(pruner: Pruner, epochs: int | None) -> tuple[int, ...]:
    """Ages at which a sampler may compare trials that stopped before their end; `epochs` is their usual length."""
    method = PRUNERS[pruner.kind]
    return (method.levels or method.rungs)(pruner, epochs)


def milestones(pruner: Pruner, epochs: int | None, number: int) -> tuple[int, ...]:
    """Ages at which the trial with this number must wait for its ruling before it trains on."""
    method = PRUNERS[pruner.kind]
    own = method.rungs(pruner, epochs)
    return own[ladder.bracket(pruner, epochs, number) :] if method.brackets else own
