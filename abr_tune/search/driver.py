"""The search itself: which trial is next, what becomes of a running one, and what the study is told.

Knows neither Ray nor Optuna: an executor trains what `ask` hands out and reports back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

from abr_tune.limits import noted
from abr_tune.plan.overrides import ImpossibleOptions
from abr_tune.plan.plan import Plan
from abr_tune.runs import RunFolder
from abr_tune.search.contest import Contest
from abr_tune.search.earlier import Earlier
from abr_tune.search.ending import OpenTrial, ending_of, failed, observation, pruned
from abr_tune.search.events import EpochDone, Listener, TrialFinished, TrialPaused, TrialStarted, VerdictGiven, Warned
from abr_tune.search.executor import Job, Ruling
from abr_tune.search.fidelity import point_of
from abr_tune.search.jobs import Jobs
from abr_tune.search.ledger import Ending, Ledger
from abr_tune.search.observation import Exhausted, Proposer, Setting
from abr_tune.search.proposals import Proposals
from abr_tune.search.pruning import Field, levels
from abr_tune.search.records import ended_record
from abr_tune.search.retries import Loss, Retries, told
from abr_tune.search.roster import Roster
from abr_tune.search.spending import Spending
from abr_tune.search.takeover import Others
from abr_tune.search.trust import Trust
from abr_tune.trial import TrialStep
from core.report import EpochReport

EndedBy = Literal["budget", "time", "failures", "signal", "no_improvement", "elsewhere"]
"""failures: nothing but failed trials came of the search, or as many of them as its whole budget; elsewhere: the first
driver ended the search for all that had joined it."""
NO_BASELINES: Final[Mapping[str, float]] = {}


class Driver:
    """The `Source` of a search: start points, then the sampler's proposals, ranked against one another as they run.

    `folder` is the run's. Trials the study holds as running or waiting are continued before new ones are made; of the
    paused ones whoever is best at the highest rung goes on before a new one is begun.
    """

    def __init__(
        self,
        plan: Plan,
        study: Ledger,
        folder: Path,
        listener: Listener,
        *,
        interrupted: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        proposer: Callable[[Setting], Proposer] | None = None,
        baselines: Mapping[str, float] = NO_BASELINES,
        earlier: Earlier | None = None,
    ) -> None:
        self._plan = plan
        self._study = study
        self._folder = RunFolder(folder)
        self._listener = listener
        self._interrupted = interrupted
        self._jobs = Jobs(plan, self._folder)
        rungs = levels(plan.pruner, self._jobs.usual_length)
        self._levels = frozenset(rungs)
        """Ages at which the sampler hears of a trial that has not ended."""
        self._field = Field(plan.pruner, plan.objectives)
        self._proposals = Proposals(plan, rungs, proposer, earlier)
        self._spending = Spending(plan, clock)
        self._trust = Trust(plan, baselines.get(plan.objective.metric), keep=study.note)
        self._roster = Roster()
        self._retries = Retries(clock)
        self._ahead: Job | None = None
        """What `ready` found."""
        self._ended_by: EndedBy | None = None
        self._others = Others(
            folder=self._folder,
            length=self._jobs.length,
            levels=self._levels,
            field=self._field,
            proposals=self._proposals,
            spending=self._spending,
            trust=self._trust,
            roster=self._roster,
            health=plan.health,
            baselines=baselines,
        )
        self._contest = Contest(plan, self._field, self._spending, self._trust, self._roster, self._others)
        with study.turn():
            # Alarms of earlier processes were told by them.
            self._others.take_in(study.news())

    @property
    def done(self) -> bool:
        """Whether no trial will be started any more and none is open."""
        return not (self._roster.open or self._others.away or self._contest.may_begin())

    @property
    def waits(self) -> bool:
        """Whether a trial that was lost goes on after a pause."""
        return self._retries.any_waits(self._roster.queue)

    @property
    def ended_by(self) -> EndedBy:
        """Why the search ended, once it was `stopped`. Raises `ValueError` before."""
        if self._ended_by is None:
            raise ValueError("the search has not ended")
        return self._ended_by

    @property
    def out_of_time(self) -> bool:
        """Whether the plan's time is over."""
        return self._spending.out_of_time

    @property
    def paused(self) -> tuple[int, ...]:
        """Trials that are paused, in the order of their numbers."""
        return tuple(sorted(self._field.waiting))

    def should_stop(self) -> bool:
        """Whether everything is to end now. Asked several times a second, so it also writes what is due."""
        self._study.flush_if_due()
        return self._interrupted() or self.out_of_time or self._study.over is not None

    def ready(self) -> bool:
        """Whether there is something to train now; other drivers may leave something at any time."""
        self._ahead = self._ahead or self.ask()
        return self._ahead is not None

    def ask(self) -> Job | None:
        """The next stretch of training: a trial to go on with, a start point, or the sampler's proposal."""
        if self._ahead is not None:
            ahead, self._ahead = self._ahead, None
            return ahead
        self._spending.start_clock()
        if self.should_stop():
            return None
        with self._study.turn():
            self._hear()
            return self._choose()

    def _choose(self) -> Job | None:
        while (trial := self._next()) is not None:
            try:
                return self._jobs.job(trial, self._trust.leave(trial))
            except ImpossibleOptions as error:
                self.crash(trial.number, f"its values make no valid options: {error}")
        return None

    def _next(self) -> OpenTrial | None:
        """Who is trained now: who was queued, who deserves to go on, a new trial; at last the audited left behind."""
        if (trial := self._roster.next_queued(self._retries.ready)) is not None:
            return self._go_on(trial)
        while (chosen := self._contest.next_paused()) is None and self._contest.may_begin():
            if (trial := self._begin()) is not None:
                return trial
        if chosen is not None:
            return self._go_on(self._contest.wake(chosen))
        self._prune_paused()
        trial = self._roster.next_queued(self._retries.ready)
        return None if trial is None else self._go_on(trial)

    def report(self, key: int, step: TrialStep) -> Ruling:
        """Note an epoch, tell the listener, and rule."""
        trial, report = self._roster.open[key], step.report
        for said in step.notes:
            self._listener(Warned(key, said))
        if report.complete:
            self._note(trial, report)
            trial.last = report
        trial.broken = None if report.complete else report
        trial.verdict, told = self._trust.judge(trial, step)
        for verdict in told:
            self._listener(VerdictGiven(key, verdict))
        return "stop" if trial.verdict is not None else self._rank(trial)

    def finish(self, key: int) -> None:
        """Tell the study how a trial ended. One that was told to pause waits from now on to be promoted."""
        if not self._ours(key):
            return
        trial = self._roster.open[key]
        if trial.stage == "pausing":
            self._roster.pause(trial)
            self._field.wait(key)
        elif trial.recalled and trial.verdict is None:
            trial.recalled = False
            self._roster.queue.append(key)
        elif trial.silent:
            self.crash(key, "the task's train yielded no report")
        else:
            self._end({key: self._ending(trial)})

    def crash(self, key: int, error: str) -> None:
        """The user's code raised: the trial failed, and is not tried again."""
        if not self._ours(key):
            return
        self._end({key: failed(self._roster.open[key], error, self._plan)})

    def lost(self, key: int, error: str, loss: Loss) -> None:
        """The worker died, or memory ran out: go on from the checkpoint, unless that has been tried enough."""
        if not self._ours(key):
            return
        trial = self._roster.open[key]
        if trial.stage == "pausing":
            self.finish(key)
            return
        if (limit := noted(self._folder.trial(key))) is not None:
            trial.verdict = limit
            self._listener(VerdictGiven(key, limit))
            self._end({key: self._ending(trial)})
            return
        if (pause := self._retries.again(key, loss)) is None:
            self.crash(key, self._retries.verdict(key, loss, error))
        else:
            self._roster.queue.append(key)
            self._listener(Warned(key, told(loss, error, pause)))

    def _ours(self, key: int) -> bool:
        """Whether an end concerns this driver: a trial that paused may go on elsewhere before its end is heard here."""
        return key in self._roster.training

    def stopped(self) -> None:
        """End the search: whatever is unfinished waits in the study, to go on under its number."""
        if self._ended_by is not None:
            return
        signal, gave_up = self._interrupted(), self._spending.gave_up
        spent: EndedBy = "no_improvement" if self._trust.stalled else "budget"
        early: EndedBy = "time" if self._study.over is None else "elsewhere"
        self._ended_by = "signal" if signal else "failures" if gave_up else spent if self.done else early
        with self._study.turn():
            self._hear()
            self._interrupt()

    def _interrupt(self) -> None:
        trials = self._roster.open
        if trials:
            metrics = {number: trial.last.metrics for number, trial in trials.items() if trial.last is not None}
            self._study.interrupt({number: trial.epoch for number, trial in trials.items()}, metrics)
        self._roster.clear()

    def _hear(self) -> None:
        for raised in self._others.take_in(self._study.news()):
            self._listener(raised)

    def _begin(self) -> OpenTrial | None:
        """Record the next proposal as a trial; None when there is none any more."""
        try:
            proposal = self._proposals.next(self._study.next_number)
        except Exhausted:
            self._contest.exhausted = True
            return None
        number = self._study.begin(proposal.raw, proposal.distributions, proposal.values, proposal.name)
        trial = OpenTrial(number, proposal.name, proposal.values, length=self._jobs.length(proposal.values))
        self._roster.add(trial)
        self._field.enter(number, trial.length)
        self._listener(TrialStarted(number, trial.name, trial.values))
        return trial

    def _go_on(self, trial: OpenTrial) -> OpenTrial:
        self._study.resume(trial.number)
        self._listener(TrialStarted(trial.number, trial.name, trial.values, trial.epoch))
        return trial

    def _note(self, trial: OpenTrial, report: EpochReport) -> None:
        """Record an epoch. One that is known already comes from a checkpoint; an earlier one from a fresh start."""
        point = point_of(report, self._plan.objectives, self._plan.constraints)
        trial.seconds[report.epoch] = report.seconds
        if report.epoch == trial.epoch and self._field.known(trial.number, report.epoch) == point:
            return
        if report.epoch <= trial.epoch:
            self._study.rewind(trial.number, report.epoch)
            self._field.rewind(trial.number, report.epoch)
            trial.cleared = min(trial.cleared, report.epoch - 1)
            self._spending.epochs -= trial.epoch - report.epoch + 1
        trial.epoch = report.epoch
        self._spending.epochs += 1
        if point is not None:
            self._field.note(trial.number, point)
            self._study.report(trial.number, point)
        self._listener(EpochDone(trial.number, report, None if point is None else point.values[0]))

    def _rank(self, trial: OpenTrial) -> Ruling:
        """Compare with the other trials; never twice at an epoch, and never at a trial's last."""
        number = trial.number
        if trial.epoch <= trial.cleared or trial.epoch == trial.length:
            return "go_on"
        trial.cleared = trial.epoch
        if self._field.reached(number, trial.epoch) in self._levels:
            self._proposals.progress(number, self._field.curve(number, self._levels))
        if trial.audited is not None:
            return "go_on"
        trial.verdict = self._contest.judge(trial)
        if trial.verdict is not None:
            return "stop"
        if not self._contest.pauses(trial) or (not self.should_stop() and self._contest.is_next(number)):
            return "go_on"
        trial.stage = "pausing"
        self._study.park(number, trial.epoch, {} if trial.last is None else trial.last.metrics)
        self._listener(TrialPaused(number, trial.epoch))
        return "pause"

    def _prune_paused(self) -> None:
        """Nothing more will come and nothing is being trained: what is still paused is pruned where it stands."""
        if left := self._contest.left_behind():
            self._end(
                {
                    number: replace(pruned(self._roster.open[number], why, self._plan), waited=True)
                    for number, why in left.items()
                }
            )

    def _ending(self, trial: OpenTrial) -> Ending:
        return ending_of(trial, self._plan, self._field.worth)

    def _end(self, endings: Mapping[int, Ending]) -> None:
        self._study.finish_all(endings)
        for number, ending in endings.items():
            trial = self._roster.drop(number)
            self._spending.ended(ending.state)
            curve = self._field.curve(number)
            self._field.leave(number, complete=ending.state == "complete")
            self._proposals.learn(number, observation(ending.state, ending.values, ending.violations, curve))
            record = ended_record(number, trial.name, trial.values, ending)
            self._listener(TrialFinished(record))
            if (alarm := self._trust.ended(record, trial.states, waited=ending.waited)) is not None:
                self._listener(alarm)
