"""Going on where another process stopped, or beside it: what the study holds, put in its place here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any, Final

from abr_tune.runs import RunFolder
from abr_tune.search.ending import OpenTrial, observation
from abr_tune.search.ledger import StoredTrial
from abr_tune.search.proposals import Proposals
from abr_tune.search.pruning import Field
from abr_tune.search.spending import Spending
from abr_tune.trial import HISTORY, read_history

OPEN: Final = frozenset({"running", "waiting"})
"""States of trials that have not ended."""


@dataclass(slots=True, kw_only=True)
class Others:
    """Trials that were trained by other processes, as this one hears of them."""

    folder: RunFolder
    length: Callable[[Mapping[str, Any]], int | None]
    """Epochs of a trial with such values."""
    levels: Set[int]
    field: Field
    proposals: Proposals
    spending: Spending
    away: dict[int, int] = dataclasses.field(default_factory=dict)
    """Trials that another driver trains -> epochs they had when last heard of."""

    def hear(self, stored: StoredTrial, *, free: bool = True) -> OpenTrial | None:
        """Learn from a trial that another process trained; return it, as it stands, if it is unfinished and free.

        A paused trial waits again at the last rung it reached. One that was being trained goes on from its checkpoint. What the
        sampler hears of an open trial is what it had heard before: its curve up to the last of `levels`.
        """
        record = stored.record
        if record.number in self.away:
            self._catch_up(stored)
        else:
            self.proposals.known(stored)
            self.field.enter(record.number, self.length(record.params), stored.points)
        self.spending.epochs += record.epochs - self.away.pop(record.number, 0)
        if record.state in OPEN:
            self.proposals.progress(record.number, self.field.curve(record.number, self.levels))
            if free:
                return self._reopened(stored)
            self.away[record.number] = record.epochs
            return None
        self.spending.ended(record.state, before=True)
        curve = self.field.curve(record.number)
        self.field.leave(record.number, complete=record.state == "complete")
        self.proposals.learn(record.number, observation(record.state, record.values, record.violations, curve))
        return None

    def claimed(self, trial: OpenTrial) -> None:
        """A trial that waited here is trained by another driver from now on."""
        if trial.number in self.field.waiting:
            self.field.go_on(trial.number)
        self.away[trial.number] = trial.epoch

    def _catch_up(self, stored: StoredTrial) -> None:
        number = stored.record.number
        for point in stored.points:
            if self.field.known(number, point.epoch) != point:
                self.field.note(number, point)

    def _reopened(self, stored: StoredTrial) -> OpenTrial:
        record = stored.record
        history = read_history(self.folder.trial(record.number) / HISTORY)
        trial = OpenTrial(
            record.number,
            record.name,
            record.params,
            length=self.length(record.params),
            epoch=record.epochs,
            # A driver that was killed may have died between a report and its ruling; one that was interrupted did not.
            cleared=record.epochs if record.state == "waiting" or stored.parked else 0,
            seconds={report.epoch: report.seconds for report in history},
            audited=record.audited,
        )
        known = [report for report in history if report.complete and report.epoch == record.epochs]
        trial.last = known[-1] if known else None
        # Under another pruner than it paused under, there may be no rung to wait at.
        if stored.parked and self.field.pauses and self.field.arrived(record.number):
            trial.stage = "paused"
            self.field.wait(record.number)
        return trial
