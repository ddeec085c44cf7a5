"""Which trials a model of good and bad configurations is made from, and of feasible and infeasible ones.

Values are only compared at the same age. A model looks at one level, the highest that enough trials reached: their ends
first, then the rungs downwards. A trial that did not reach it is bad only where that is known: it collapsed or diverged
before, or one of the good ones was already better at the age it reached. Of a trial that was stopped and yet as good as
they were at its age nothing is known, and it is in no model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from abr_tune.search.constraints import HEALTH
from abr_tune.search.samplers.box import Flags
from abr_tune.search.samplers.fronts import leaders
from abr_tune.search.samplers.knowledge import View

# Shapes: N trials, R good ones, L trials whose last level this is, M objectives.


@dataclass(frozen=True, slots=True)
class Split:
    """Two sets of trials, and what share of all the first one is where nothing else is known."""

    wanted_N: Flags
    unwanted_N: Flags
    share: float


def highest_level(view: View, enough: int, least: int) -> float | None:
    """The highest age that `enough` trials are judged at, `least` of them by a value; None if there is none.

    A trial that collapsed before is judged too: it is known to be bad there.
    """
    for level in sorted(view.losses, reverse=True):
        reached = ~np.isnan(view.losses[level][:, 0])
        if int(reached.sum()) >= least and int((reached | view.collapsed).sum()) >= enough:
            return level
    return None


def by_merit(view: View, level: float, quota: Callable[[int], int]) -> Split:
    """The best at a level, `quota` of those judged there, against the rest.

    Feasible ones come first, then the others by how little they miss. A running trial of which nothing was heard yet
    counts as bad, so that proposals keep away from it (constant liar).
    """
    losses, violation = view.losses[level], view.violation
    reached = ~np.isnan(losses[:, 0])
    judged = reached | view.collapsed
    good = quota(int(judged.sum()))
    feasible = np.flatnonzero(reached & (violation <= 0))
    infeasible = np.flatnonzero(reached & (violation > 0))
    best = feasible[leaders(losses[feasible], good)]
    least = infeasible[np.argsort(violation[infeasible], kind="stable")][: good - len(best)]
    wanted = np.zeros(len(losses), dtype=bool)
    wanted[best] = wanted[least] = True
    unwanted = (judged | ~view.heard | _outdone(view, level, wanted)) & ~wanted
    return Split(wanted, unwanted, int(wanted.sum()) / int((wanted | unwanted).sum()))


def _outdone(view: View, level: float, good: Flags) -> Flags:
    """Trials that ended or wait below a level, and that one of the good ones beat at the last level they reached.

    With several objectives: was nowhere worse there and somewhere better. Shape: (N,).
    """
    outdone = np.zeros(len(good), dtype=bool)
    higher = ~np.isnan(view.losses[level][:, 0])
    for lower in sorted((one for one in view.losses if one < level), reverse=True):
        losses = view.losses[lower]
        here = ~np.isnan(losses[:, 0])
        last = np.flatnonzero(here & ~higher)
        rivals_R1M, own_1LM = losses[good & here][:, None], losses[last][None]
        beaten = (rivals_R1M <= own_1LM).all(axis=2) & (rivals_R1M < own_1LM).any(axis=2)
        outdone[last] = beaten.any(axis=0)
        higher |= here
    return outdone


def by_constraint(view: View) -> Iterator[Split]:
    """For each constraint that was ever missed, the trials that met it against those that missed it.

    A trial that was not stopped for its health counts as healthy only if it lived as long as half of those that were
    stopped for it: one that ended after an epoch for another reason was not put to the test.
    """
    for name in sorted(view.missed):
        missed = view.missed[name]
        unwanted = missed > 0
        if not unwanted.any():
            continue
        long = view.heard & (view.ages_N >= np.median(view.ages_N[unwanted]))
        wanted = (long if name == HEALTH else ~np.isnan(missed)) & ~unwanted
        yield Split(wanted, unwanted, int(wanted.sum()) / int((wanted | unwanted).sum()))
