"""The search itself: which trial is next, what becomes of a running one, and what the study is told.

Knows neither Ray nor Optuna: an executor trains what `ask` hands out and reports back.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Literal

from abr_tune.plan.overrides import ImpossibleOptions
from abr_tune.plan.plan import Plan
from abr_tune.runs import RunFolder
from abr_tune.search.ending import OpenTrial, ending_of, failed
from abr_tune.search.events import (
    EpochDone,
    Listener,
    TrialFinished,
    TrialPaused,
    TrialRecord,
    TrialStarted,
    TrialState,
    VerdictGiven,
)
from abr_tune.search.executor import Job, Ruling
from abr_tune.search.observation import Observation
from abr_tune.search.proposals import Proposals
from abr_tune.search.pruning import RANKINGS, Board, Pause, Ranking, milestones
from abr_tune.search.study import PARKED, VALUES, Ending, Study, ended_record, record_of
from abr_tune.trial import HISTORY, TrialStep, read_history, training_config
from core.health import Verdict
from core.report import EpochReport

EndedBy = Literal["budget", "time", "failures", "signal"]
"""failures: nothing but failed trials came of the search, or as many of them as its whole budget."""
RETRIES: Final = 2
"""Times a trial is started again after its worker died."""
FAILURES_BEFORE_GIVING_UP: Final = 5
"""Failed trials after which a search is given up in which no trial ever ended otherwise."""


class Driver:
    """The `Source` of a search: start points, then the sampler's proposals, ranked against one another as they run.

    `folder` is the run's. Trials the study holds as running or waiting are continued before new ones are made.
    """

    def __init__(
        self,
        plan: Plan,
        study: Study,
        folder: Path,
        listener: Listener,
        *,
        interrupted: Callable[[], bool] = lambda: False,
        ranking: Ranking | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan = plan
        self._study = study
        self._folder = RunFolder(folder)
        self._listener = listener
        self._interrupted = interrupted
        self._ranking: Ranking = ranking or RANKINGS[plan.pruner.kind]
        self._clock = clock
        self._started: float | None = None
        """When the first trial was asked for: loading data and starting Ray do not count."""
        self._board = Board(plan.objective.direction)
        self._proposals = Proposals(plan)
        self._open: dict[int, OpenTrial] = {}
        self._queue: deque[int] = deque()
        """Open trials that nobody trains at the moment and that are to go on."""
        self._ended: Counter[str] = Counter()
        self._complete: set[int] = set()
        self._ended_by: EndedBy | None = None
        self._failures = 0
        """Failed trials of this process; those of earlier ones may have been mended since."""
        self._take_over()

    @property
    def done(self) -> bool:
        """Whether no trial will be started any more and none is open."""
        return not self._open and not self._may_begin()

    @property
    def ended_by(self) -> EndedBy:
        """Why the search ended, once it was `stopped`. Raises `ValueError` before."""
        if self._ended_by is None:
            raise ValueError("the search has not ended")
        return self._ended_by

    @property
    def out_of_time(self) -> bool:
        """Whether the plan's time is over."""
        limit = self._plan.budget.seconds
        return limit is not None and self._started is not None and self._clock() - self._started >= limit

    @property
    def gave_up(self) -> bool:
        """Whether only failures came of this search, so many that it is not worth going on."""
        others = self._ended["complete"] + self._ended["pruned"]
        return self._failures >= (FAILURES_BEFORE_GIVING_UP if not others else self._plan.budget.trials)

    @property
    def parked(self) -> tuple[int, ...]:
        """Trials that are paused, in the order of their numbers."""
        return tuple(sorted(number for number, trial in self._open.items() if trial.parked))

    def should_stop(self) -> bool:
        """Whether everything is to end now. Asked several times a second, so it also writes what is due."""
        self._study.flush_if_due()
        return self._interrupted() or self.out_of_time

    def ask(self) -> Job | None:
        """The next stretch of training: a trial to go on with, a start point, or the sampler's proposal."""
        if self._started is None:
            self._started = self._clock()
        if self.should_stop():
            return None
        if self._queue:
            return self._go_on(self._open[self._queue.popleft()])
        while self._may_begin():
            job = self._begin()
            if job is not None:
                return job
        self._prune_parked()
        return None

    def report(self, key: int, step: TrialStep) -> Ruling:
        """Note an epoch, tell the listener, and rule."""
        trial, report = self._open[key], step.report
        if report.complete:
            self._note(trial, report)
            trial.last = report
        trial.broken = None if report.complete else report
        for verdict in step.verdicts:
            self._listener(VerdictGiven(key, verdict))
        if step.stop:
            trial.verdict = step.stop
            return "stop"
        return self._rank(trial)

    def finish(self, key: int) -> None:
        """Tell the study how a trial ended. A paused one stays open, for `promote`."""
        trial = self._open[key]
        if trial.silent:
            self.crash(key, "the task's train yielded no report")
        elif not trial.parked:
            self._end(trial, ending_of(trial, self._plan))

    def crash(self, key: int, error: str) -> None:
        """The user's code raised: the trial failed, and is not tried again."""
        trial = self._open[key]
        self._failures += 1
        self._end(trial, failed(trial, error, self._plan))

    def lost(self, key: int, error: str) -> None:
        """The worker died: go on from the checkpoint under the same number, unless that has been tried enough."""
        trial = self._open[key]
        trial.losses += 1
        if trial.losses <= RETRIES:
            self._queue.append(key)
        else:
            self.crash(key, f"its worker died {trial.losses} times: {error}")

    def promote(self, number: int) -> None:
        """Let a paused trial go on from its checkpoint: it is handed out next."""
        trial = self._open[number]
        if trial.parked:
            trial.parked, trial.verdict, trial.cleared = False, None, trial.epoch
            self._queue.append(number)

    def stopped(self) -> None:
        """End the search: whatever is unfinished waits in the study, to go on under its number."""
        if self._ended_by is not None:
            return
        done = self.done
        self._ended_by = (
            "signal" if self._interrupted() else "failures" if self.gave_up else "budget" if done else "time"
        )
        if self._open:
            self._study.interrupt({number: trial.epoch for number, trial in self._open.items()})
        self._open.clear()
        self._queue.clear()

    def _take_over(self) -> None:
        """Learn from the trials the study holds, and queue those an earlier driver left unfinished."""
        for stored in self._study.trials():
            record, values = record_of(stored), stored.system_attrs[VALUES]
            number = record.number
            for epoch, value in sorted(stored.intermediate_values.items()):
                self._board.record(number, epoch, value)
            self._proposals.known(stored, values, record.name)
            if record.state in {"running", "waiting"}:
                self._reopen(record, values, stored.system_attrs.get(PARKED))
                continue
            self._ended[record.state] += 1
            if record.state == "complete":
                self._complete.add(number)
            self._proposals.learn(number, self._observed(number, record.state, record.value))

    def _reopen(self, record: TrialRecord, values: Mapping[str, Any], parked: Mapping[str, Any] | None) -> None:
        trial = self._open[record.number] = OpenTrial(record.number, record.name, values, epoch=record.epochs)
        history = read_history(self._folder.trial(record.number) / HISTORY)
        trial.seconds = {report.epoch: report.seconds for report in history}
        # A driver that was killed may have died between a report and its ruling; one that was interrupted did not.
        trial.cleared = record.epochs if record.state == "waiting" else 0
        if parked is None:
            self._queue.append(record.number)
        else:
            trial.parked, trial.verdict = True, Verdict(**parked)

    def _may_begin(self) -> bool:
        counted = self._ended["complete"] + self._ended["pruned"] + len(self._open)
        return not self.gave_up and counted < self._plan.budget.trials

    def _begin(self) -> Job | None:
        """Record the next proposal and begin it; None when its values make no valid options: that is a failed trial."""
        proposal = self._proposals.next(self._study.next_number)
        number = self._study.begin(proposal.raw, proposal.distributions, proposal.values, proposal.name)
        trial = self._open[number] = OpenTrial(number, proposal.name, proposal.values)
        self._listener(TrialStarted(number, trial.name, trial.values))
        try:
            return self._job(trial)
        except ImpossibleOptions as error:
            self.crash(number, f"its values make no valid options: {error}")
            return None

    def _go_on(self, trial: OpenTrial) -> Job:
        self._study.resume(trial.number)
        self._listener(TrialStarted(trial.number, trial.name, trial.values, trial.epoch))
        return self._job(trial)

    def _job(self, trial: OpenTrial) -> Job:
        plan, options = self._plan, self._proposals.options(trial.values)
        length = getattr(options, "epochs", None)
        trial.length = length if isinstance(length, int) else None
        due = milestones(plan.pruner, trial.length)
        folder = self._folder.trial(trial.number)
        return Job(
            key=trial.number,
            options=options,
            seed=plan.seed,
            folder=folder,
            config=training_config(plan.task_name, options, seed=plan.seed, data=plan.data_from(folder)),
            since=trial.epoch,
            milestones=tuple(epoch for epoch in due if epoch > trial.epoch),
        )

    def _note(self, trial: OpenTrial, report: EpochReport) -> None:
        """Record an epoch. One that is known already comes from a checkpoint; an earlier one from a fresh start."""
        value, known = self._value(report), self._board.curve(trial.number)
        trial.seconds[report.epoch] = report.seconds
        if report.epoch == trial.epoch and known.get(report.epoch) == value:
            return
        if report.epoch <= trial.epoch:
            self._study.rewind(trial.number, report.epoch)
            self._board.rewind(trial.number, report.epoch)
            trial.cleared = min(trial.cleared, report.epoch - 1)
        trial.epoch = report.epoch
        if value is not None:
            self._board.record(trial.number, report.epoch, value)
            self._study.report(trial.number, report.epoch, value)
        self._listener(EpochDone(trial.number, report, value))

    def _rank(self, trial: OpenTrial) -> Ruling:
        """Compare with the other trials; never twice at an epoch, and never at a trial's last."""
        if trial.epoch <= trial.cleared or trial.epoch == trial.length:
            return "go_on"
        standing = self._board.standing(trial.number, trial.epoch, self._complete)
        found = self._ranking(standing, self._plan.pruner) if standing is not None else None
        trial.cleared = trial.epoch
        if isinstance(found, Pause):
            trial.parked, trial.verdict = True, found.why
            self._study.park(trial.number, asdict(found.why))
            self._listener(TrialPaused(trial.number, trial.epoch))
            return "pause"
        trial.verdict = found
        return "stop" if found is not None else "go_on"

    def _value(self, report: EpochReport | None) -> float | None:
        return None if report is None else report.metrics.get(self._plan.objective.metric)

    def _prune_parked(self) -> None:
        """Nothing more will come and nothing is being trained: what is still paused is pruned where it stands."""
        if not self._queue and all(trial.parked for trial in self._open.values()):
            for trial in list(self._open.values()):
                self._end(trial, ending_of(trial, self._plan))

    def _end(self, trial: OpenTrial, ending: Ending) -> None:
        self._study.finish(trial.number, ending)
        del self._open[trial.number]
        self._ended[ending.state] += 1
        if ending.state == "complete":
            self._complete.add(trial.number)
        self._proposals.learn(trial.number, self._observed(trial.number, ending.state, ending.value))
        self._listener(TrialFinished(ended_record(trial.number, trial.name, trial.values, ending)))

    def _observed(self, number: int, state: TrialState, value: float | None) -> Observation | None:
        """What the sampler may learn: a stopped trial's curve counts at the epochs it reached, a failed one's not."""
        if state == "failed":
            return None
        curve = {epoch: (at,) for epoch, at in self._board.curve(number).items()}
        return Observation(values=None if value is None else (value,), curve=curve)
