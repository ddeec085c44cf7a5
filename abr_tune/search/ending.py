"""An unfinished trial as the search knows it, and what its end means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from abr_tune.limits import LIMITS
from abr_tune.plan.plan import Constraint, Criterion, Plan
from abr_tune.search.constraints import HEALTH, OVER, violations
from abr_tune.search.events import TrialState
from abr_tune.search.ledger import Ending
from abr_tune.search.observation import Observation, Values
from abr_tune.trial import plain
from core.health import Verdict
from core.health.odds import State
from core.health.severity import severity
from core.report import EpochReport
from core.tasks.task import Objective

Stage = Literal["training", "pausing", "paused"]
"""Somebody trains it or is about to; it was told to pause and its worker has not let go of it yet; it waits."""


@dataclass(slots=True)
class OpenTrial:
    """A trial that has not ended."""

    number: int
    name: str | None
    values: Mapping[str, Any]
    """Path -> value."""
    length: int | None = None
    """Epochs it is going to train, where its options say."""
    epoch: int = 0
    """Epochs finished and known."""
    cleared: int = 0
    """Epoch up to which no ranking is due any more."""
    last: EpochReport | None = None
    """Of its last whole epoch."""
    broken: EpochReport | None = None
    """The report from within an epoch it sent last, unless a whole one followed."""
    verdict: Verdict | None = None
    """Why it is to be pruned."""
    stage: Stage = "training"
    seconds: dict[int, float] = field(default_factory=dict)
    """Epoch -> how long it took."""
    audited: Mapping[str, Any] | None = None
    """The first verdict that the audit let it run on past: rule, why, epoch."""
    states: set[State] = field(default_factory=set)
    """Of health, in which it was seen."""
    recalled: bool = False
    """Its worker has obeyed a stop that is not to be: it goes on from its checkpoint."""

    @property
    def silent(self) -> bool:
        """Whether nothing at all was heard of it."""
        return self.epoch == 0 and self.last is None and self.broken is None and self.verdict is None


def ending_of(trial: OpenTrial, plan: Plan, worth: Callable[[int, Values], Values]) -> Ending:
    """How a training that is over has ended: complete with its last objectives, or pruned for a reason.

    `worth` makes the value of a trial of the objectives of its last epoch.
    """
    if trial.verdict is not None:
        return pruned(trial, trial.verdict, plan)
    if trial.broken is not None:
        return pruned(trial, _broke_off(trial.broken), plan)
    for objective in plan.objectives:
        if trial.last is None or objective.metric not in trial.last.metrics:
            return pruned(trial, _absent(trial, objective.metric), plan)
    assert trial.last is not None  # noqa: S101 - a plan has an objective
    metrics = trial.last.metrics
    values = worth(trial.number, tuple(float(metrics[objective.metric]) for objective in plan.objectives))
    said = {objective.metric: value for objective, value in zip(plan.objectives, values, strict=True)}
    trial.last = replace(trial.last, metrics={**metrics, **said})
    missed = violations(trial.last.metrics, plan.constraints, at_end=True)
    early = {"ended_early": trial.last.ended_early} if trial.last.ended_early else {}
    return _ending(trial, "complete", plan, early, values=values, missed=missed)


def pruned(trial: OpenTrial, verdict: Verdict, plan: Plan) -> Ending:
    """A trial that was stopped for a reason; how badly it had collapsed is a constraint it missed.

    So is a limit, by the share of its epochs that it did not get to: such a trial is no collapse, and no candidate.
    """
    why = {"pruned_by": verdict.rule, "why": verdict.why, "evidence": plain(verdict.evidence)}
    missed = {HEALTH: severity(verdict)}
    if verdict.rule in LIMITS:
        missed = {OVER: 1 - trial.epoch / trial.length if trial.length else 1.0}
    return _ending(trial, "pruned", plan, why, missed={name: miss for name, miss in missed.items() if miss > 0})


def failed(trial: OpenTrial, error: str, plan: Plan) -> Ending:
    """A trial whose code raised, or whose worker died too often."""
    return _ending(trial, "failed", plan, {"error": error})


def observation(
    state: TrialState, values: Values, missed: Mapping[str, float], curve: Mapping[int, Values]
) -> Observation | None:
    """What the sampler may learn: a stopped trial's curve counts at the ages it reached, a failed one's not."""
    if state == "failed":
        return None
    return Observation(values=values or None, curve=curve, violations=missed)


def _ending(
    trial: OpenTrial,
    state: TrialState,
    plan: Plan,
    said: dict[str, Any],
    *,
    values: Values = (),
    missed: Mapping[str, float] | None = None,
) -> Ending:
    """Metrics that decide something have a column of their own in the study; all are in one attribute."""
    attributes: dict[str, Any] = {"epoch": trial.epoch, "seconds": round(sum(trial.seconds.values()), 3)}
    if trial.last is not None:
        metrics = dict(trial.last.metrics)
        deciding: tuple[Objective | Constraint | Criterion, ...] = (*plan.objectives, *plan.constraints, *plan.gate)
        headline = {each.metric for each in deciding} & metrics.keys()
        attributes |= {"metrics": metrics} | {name: metrics[name] for name in sorted(headline)}
    if trial.audited is not None:
        attributes["audited"] = dict(trial.audited)
    states = tuple(sorted(state.to_json() for state in trial.states))
    return Ending(state=state, values=values, violations=missed or {}, attributes=attributes | said, states=states)


def _absent(trial: OpenTrial, metric: str) -> Verdict:
    reason = "it was never reported" if trial.last is None else trial.last.absent.get(metric, "it was not reported")
    why = f"{metric} is absent at the end: {reason}"
    return Verdict(level="stop", rule="objective_absent", why=why, epoch=trial.epoch)


def _broke_off(report: EpochReport) -> Verdict:
    return Verdict(
        level="stop",
        rule="non_finite",
        why=f"training broke off within epoch {report.epoch}: something was not finite",
        epoch=report.epoch,
        evidence=report.evidence,
    )
