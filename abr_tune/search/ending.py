"""An unfinished trial as the search knows it, and what its end means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from abr_tune.plan.plan import Plan
from abr_tune.search.events import TrialState
from abr_tune.search.study import Ending
from abr_tune.trial import plain
from core.health import Verdict
from core.report import EpochReport


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
    parked: bool = False
    losses: int = 0
    """Workers that died under it."""
    seconds: dict[int, float] = field(default_factory=dict)
    """Epoch -> how long it took."""

    @property
    def silent(self) -> bool:
        """Whether nothing at all was heard of it."""
        return self.epoch == 0 and self.last is None and self.broken is None and self.verdict is None


def ending_of(trial: OpenTrial, plan: Plan) -> Ending:
    """How a training that is over has ended: complete with its last objective, or pruned for a reason."""
    if trial.verdict is not None:
        return pruned(trial, trial.verdict, plan)
    if trial.broken is not None:
        return pruned(trial, _broke_off(trial.broken), plan)
    metric = plan.objective.metric
    if trial.last is None or metric not in trial.last.metrics:
        return pruned(trial, _absent(trial, metric), plan)
    return _ending(trial, "complete", plan, {}, trial.last.metrics[metric])


def pruned(trial: OpenTrial, verdict: Verdict, plan: Plan) -> Ending:
    """A trial that was stopped for a reason."""
    why = {"pruned_by": verdict.rule, "why": verdict.why, "evidence": plain(verdict.evidence)}
    return _ending(trial, "pruned", plan, why)


def failed(trial: OpenTrial, error: str, plan: Plan) -> Ending:
    """A trial whose code raised, or whose worker died too often."""
    return _ending(trial, "failed", plan, {"error": error})


def _ending(
    trial: OpenTrial, state: TrialState, plan: Plan, said: dict[str, Any], value: float | None = None
) -> Ending:
    """Metrics that decide something have a column of their own in the study; all are in one attribute."""
    attributes: dict[str, Any] = {"epoch": trial.epoch, "seconds": round(sum(trial.seconds.values()), 3)}
    if trial.last is not None:
        metrics = dict(trial.last.metrics)
        headline = {plan.objective.metric, *(criterion.metric for criterion in plan.gate)} & metrics.keys()
        attributes |= {"metrics": metrics} | {name: metrics[name] for name in sorted(headline)}
    return Ending(state=state, value=value, attributes=attributes | said)


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
