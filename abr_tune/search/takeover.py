"""Going on where another process stopped, or beside it: what the study holds, put in its place here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final

from abr_tune.runs import RunFolder
from abr_tune.search.ending import OpenTrial, observation
from abr_tune.search.events import AlarmRaised, TrialRecord
from abr_tune.search.ledger import StoredTrial
from abr_tune.search.proposals import Proposals
from abr_tune.search.pruning import Field
from abr_tune.search.roster import Roster
from abr_tune.search.spending import Spending
from abr_tune.search.trust import Trust
from abr_tune.trial import HISTORY, read_history
from core.health import HealthOptions, judge
from core.health.odds import State, state_of
from core.report import EpochReport

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
    trust: Trust
    roster: Roster
    health: HealthOptions
    baselines: Mapping[str, float]
    """Trivial scores, by which the rules judge."""
    away: dict[int, int] = dataclasses.field(default_factory=dict)
    """Trials that another driver trains -> epochs they had when last heard of."""

    def take_in(self, news: Sequence[tuple[StoredTrial, bool]]) -> list[AlarmRaised]:
        """Learn from trials of other drivers, earlier or beside this one, and queue those they left unfinished.

        `news` are as a ledger tells them. Returns the alarm that they are a reason for, if there is one.
        """
        ended = [
            stored for stored, _ in sorted(news, key=lambda each: each[0].ended) if stored.record.state not in OPEN
        ]
        raised = [
            self.trust.ended(stored.record, map(State.from_json, stored.states), waited=stored.waited)
            for stored in ended
        ]
        for stored, free in news:
            if stored.record.number in self.roster.open:
                # Another driver has gone on with it; perhaps it paused it again, or ended it.
                self._claimed(self.roster.drop(stored.record.number))
            trial = self._hear(stored, free=free)
            if trial is not None:
                self.roster.add(trial, queued=True)
        return [alarm for alarm in raised if alarm is not None]

    def _hear(self, stored: StoredTrial, *, free: bool) -> OpenTrial | None:
        """Learn from a trial that another process trained; return it, as it stands, if it is unfinished and free.

        A paused trial waits again at the last rung it reached. One that was being trained goes on from its checkpoint.
        What the sampler hears of an open trial is what it had heard before: its curve up to the last of `levels`.
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

    def _claimed(self, trial: OpenTrial) -> None:
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
            states=self._states(history, record),
        )
        known = [report for report in history if report.complete and report.epoch == record.epochs]
        trial.last = known[-1] if known else None
        # Under another pruner than it paused under, there may be no rung to wait at.
        if stored.parked and self.field.pauses and self.field.arrived(record.number):
            trial.stage = "paused"
            self.field.wait(record.number)
        return trial

    def _states(self, history: Sequence[EpochReport], record: TrialRecord) -> set[State]:
        """The states of health that whoever trained it before saw it in."""
        length = self.length(record.params)
        seen = (history[:count] for count in range(1, len(history) + 1) if history[count - 1].epoch <= record.epochs)
        return {
            state_of(reports[-1], judge(reports, self.health, self.baselines, length), length)
            for reports in seen
            if reports[-1].complete
        }
