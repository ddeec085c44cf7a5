"""What a search may still spend: trials, epochs, time, and patience with failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from abr_tune.plan.plan import Plan
from abr_tune.search.events import TrialState

FAILURES_BEFORE_GIVING_UP: Final = 5
"""Failed trials after which a search is given up in which no trial ever ended otherwise."""


class Spending:
    """The plan's budget, and what of it is gone."""

    def __init__(self, plan: Plan, clock: Callable[[], float]) -> None:
        self._budget = plan.budget
        self._leaders = max(plan.confirm.top, 1)
        self._clock = clock
        self._started: float | None = None
        self._ended: Counter[TrialState] = Counter()
        self._failures = 0
        """Failed trials of this process; those of earlier ones may have been mended since."""
        self.epochs = 0
        """Epochs trained, those of earlier processes included."""

    def start_clock(self) -> None:
        """The first trial is asked for: loading data and starting Ray do not count."""
        if self._started is None:
            self._started = self._clock()

    def ended(self, state: TrialState, *, before: bool = False) -> None:
        """A trial has ended, or had ended `before` this process began."""
        self._ended[state] += 1
        self._failures += state == "failed" and not before

    @property
    def out_of_time(self) -> bool:
        """Whether the plan's time is over."""
        limit = self._budget.seconds
        return limit is not None and self._started is not None and self._clock() - self._started >= limit

    @property
    def gave_up(self) -> bool:
        """Whether only failures came of this search, so many that it is not worth going on."""
        others = self._ended["complete"] + self._ended["pruned"]
        return self._failures >= (FAILURES_BEFORE_GIVING_UP if not others else self._budget.trials)

    def may_begin(self, open_trials: int) -> bool:
        """Whether another trial may begin beside those that are open; failed ones do not count."""
        counted = self._ended["complete"] + self._ended["pruned"] + open_trials
        within = self._budget.epochs is None or self.epochs < self._budget.epochs
        return not self.gave_up and within and counted < self._budget.trials

    def lacks_leaders(self, in_training: int) -> bool:
        """Whether fewer trials have run to their end, or still may, than are to be confirmed; one at least."""
        return self._ended["complete"] + in_training < self._leaders
