"""Whether to believe a stop: the audit, the learned odds and the alarm of one search, fed by its trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from abr_tune.front import values_of
from abr_tune.plan.plan import Plan
from abr_tune.search.alarm import alarm, stopped_by
from abr_tune.search.audit import BROKE, audited
from abr_tune.search.ending import OpenTrial
from abr_tune.search.events import AlarmRaised, TrialRecord
from abr_tune.search.improvement import Improvement
from abr_tune.trial import UNSPARING, Leave, TrialStep
from core.health import Verdict
from core.health.odds import Odds, State, state_of


class Trust:
    """Decides which stops are obeyed; `baseline` is the trivial predictor's score on the first objective.

    `keep` puts on record at once what the audit spared a trial (trial, attributes): it survives a kill.

    A trial is spared when it is audited, or when runs in its state often end well. NaN, infinity and limits spare
    nobody. What it knows of ended trials it hears from `ended`, those of earlier processes included, in the order in
    which they ended.
    """

    def __init__(
        self,
        plan: Plan,
        baseline: float | None = None,
        *,
        keep: Callable[[int, Mapping[str, Any]], None] = lambda _number, _said: None,
    ) -> None:
        self._plan = plan
        self._keep = keep
        self._odds = Odds(plan.objective.direction, baseline)
        self._improvement = Improvement(plan.objectives)
        self._stops: Counter[str] = Counter()
        """Health rule -> trials it stopped, or would have."""
        self._ended = 0
        self._alarmed = False

    @property
    def stalled(self) -> bool:
        """Whether so many trials ended without a better best that the search is to end."""
        patience = self._plan.stop.no_improvement
        return patience is not None and self._improvement.since >= patience

    def leave(self, trial: OpenTrial) -> Leave:
        """Which stops the trial's worker need not obey, as known now."""
        chosen = audited(self._plan.seed, trial.number, self._plan.audit)
        return Leave(audited=chosen, held=self._odds.held(), length=trial.length)

    def judge(self, trial: OpenTrial, step: TrialStep) -> tuple[Verdict | None, tuple[Verdict, ...]]:
        """The verdict that ends the trial at this report, if any, and what is to be told of its health.

        A trial that goes on although its worker has obeyed a rule is marked: `trial.recalled`.
        """
        stop, told = step.would_stop, step.verdicts
        trial.recalled = False
        if not step.report.complete or (stop is not None and stop.rule in UNSPARING):
            return stop, told
        state = state_of(step.report, step.verdicts, trial.length)
        trial.states.add(state)
        if stop is not None and state in self._odds.held():
            trial.recalled = not step.spared
            return None, tuple(self._held_back(each, state) if each.level == "stop" else each for each in told)
        if stop is None and step.report.epoch != trial.length:
            stop = self._odds.hopeless(state, step.report.epoch)
            told = told if stop is None else (stop, *told)
        if stop is not None and self.audits(trial, stop):
            trial.recalled = step.stop is not None
            return None, told
        return stop, told

    def audits(self, trial: OpenTrial, verdict: Verdict) -> bool:
        """Whether the trial runs on in spite of `verdict`; the first one is kept with it."""
        if not audited(self._plan.seed, trial.number, self._plan.audit):
            return False
        if trial.audited is None:
            trial.audited = {"rule": verdict.rule, "why": verdict.why, "epoch": verdict.epoch}
            self._keep(trial.number, {"audited": trial.audited})
        return True

    def ended(self, record: TrialRecord, states: Iterable[State], *, waited: bool = False) -> AlarmRaised | None:
        """Learn from a trial that has ended; the alarm, the first time that there is reason for one.

        `waited`: it was pruned where it was paused, because the search was over.
        """
        if record.state == "failed":
            return None
        values = values_of(record)
        if values or record.pruned_by in BROKE:
            self._odds.learn(values[0] if values else None, states)
        if not waited:
            self._improvement.ended(values, feasible=record.feasible)
        self._ended += 1
        if (rule := stopped_by(record)) is not None:
            self._stops[rule] += 1
        raised = None if self._alarmed else alarm(self._stops, self._ended)
        self._alarmed = self._alarmed or raised is not None
        return raised

    def _held_back(self, verdict: Verdict, state: State) -> Verdict:
        why = f"{verdict.why}; held back: of the runs that {state}, {self._odds.chance(state)} ended well"
        return replace(verdict, level="warn", why=why)
