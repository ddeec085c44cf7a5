"""How long nothing better has come: what ends a search with `stop: {no_improvement: N}`."""

from __future__ import annotations

from collections.abc import Sequence

from abr_tune.front import covers
from abr_tune.search.observation import Values
from core.tasks.task import Objective


class Improvement:
    """Counts the trials that ended since the best last improved; with several objectives, since the front changed.

    Every trial that ends counts: complete, pruned, audited, a start point. Failed ones do not, nor do paused ones that
    are pruned because the search is over: they were not tried to see whether something better comes.
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self._objectives = objectives
        self._front: list[Values] = []
        self.since = 0
        """Trials that ended in a row without a better best."""

    def ended(self, values: Values, *, feasible: bool = True) -> None:
        """A trial has ended, with its objectives if it ran to its end; one that misses a constraint is no better."""
        if not values or not feasible or any(covers(kept, values, self._objectives) for kept in self._front):
            self.since += 1
            return
        self._front = [kept for kept in self._front if not covers(values, kept, self._objectives)] + [values]
        self.since = 0
