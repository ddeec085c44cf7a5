"""Who goes on: the field's rankings, the budget and the audit, put together for one driver."""

from __future__ import annotations

from dataclasses import dataclass

from abr_tune.plan.plan import Plan
from abr_tune.search.ending import OpenTrial
from abr_tune.search.pruning import Field, Outlook
from abr_tune.search.roster import Roster
from abr_tune.search.spending import Spending
from abr_tune.search.takeover import Others
from abr_tune.search.trust import Trust
from core.health import Verdict


@dataclass(slots=True)
class Contest:
    """Which trial begins, pauses, goes on or is stopped for being worse than others."""

    plan: Plan
    field: Field
    spending: Spending
    trust: Trust
    roster: Roster
    others: Others
    exhausted: bool = False
    """The sampler has nothing left to propose."""

    def may_begin(self) -> bool:
        """Whether another trial may begin."""
        over = self.exhausted or self.trust.stalled
        return not over and self.spending.may_begin(len(self.roster.open) + len(self.others.away))

    def judge(self, trial: OpenTrial) -> Verdict | None:
        """Why a trial is stopped at the epoch it has just finished; not when the audit lets it go on."""
        verdict = self.field.judge(trial.number, trial.epoch)
        return None if verdict is None or self.trust.audits(trial, verdict) else verdict

    def pauses(self, trial: OpenTrial) -> bool:
        """Whether a trial has reached a rung at which it is to wait."""
        return self.field.pauses and self.field.at_rung(trial.number, trial.epoch)

    def next_paused(self) -> int | None:
        """Who is to go on of the paused trials: who deserves it, or the best as long as too few get to the end."""
        if not self.field.waiting:
            return None
        chosen = self.field.promotable(self._outlook())
        in_training = len(self.roster.open) + len(self.others.away) - len(self.field.waiting)
        if chosen is None and not self.may_begin() and self.spending.lacks_leaders(in_training):
            return self.field.furthest()
        return chosen

    def is_next(self, number: int) -> bool:
        """Whether a trial at its rung would be handed out again at once if it paused."""
        if self.roster.queue:
            return False
        self.field.wait(number)
        chosen = self.next_paused()
        self.field.go_on(number)
        return chosen == number

    def wake(self, number: int) -> OpenTrial:
        """A paused trial goes on."""
        self.field.go_on(number)
        return self.roster.wake(number)

    def left_behind(self) -> dict[int, Verdict]:
        """Why each paused trial is pruned where it stands, once nothing is trained and nothing more will come.

        Only now is it stopped; those of them that are audited go on to their end.
        """
        found: dict[int, Verdict] = {}
        if self._in_training:
            return found
        outlook = self._outlook()
        for number, trial in self.roster.open.items():
            why = self.field.left_behind(number, outlook)
            if self.trust.audits(trial, why):
                self.wake(number)
                self.roster.queue.append(number)
            else:
                found[number] = why
        return found

    @property
    def _in_training(self) -> set[int]:
        """Trials that are being trained or queued for it, wherever that is."""
        return self.roster.training | self.others.away.keys()

    def _outlook(self) -> Outlook:
        arriving = None if self.may_begin() else sum(not self.field.arrived(number) for number in self._in_training)
        return Outlook(trials=self.plan.budget.trials, top=self.plan.confirm.top, arriving=arriving)
