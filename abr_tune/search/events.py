"""What happens during a search, as values: the live table, the log and `events.jsonl` all read these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from core.health import Verdict
from core.report import EpochReport

TrialState = Literal["complete", "pruned", "failed", "running", "waiting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """What the study knows of one trial, independent of Ray and Optuna."""

    number: int
    name: str | None
    """Name of the start point it came from, if any."""
    state: TrialState
    value: float | None
    """The first objective of a trial that ran to its end."""
    params: Mapping[str, Any]
    """Path -> value, as the training options take them."""
    pruned_by: str | None = None
    """Name of the health rule or ranking pruner, or `objective_absent`."""
    why: str | None = None
    """One sentence."""
    evidence: Mapping[str, Any] | None = None
    metrics: Mapping[str, float] | None = None
    """Metrics of the last epoch."""
    error: str | None = None
    epochs: int = 0
    seconds: float = 0.0
    values: tuple[float, ...] = ()
    """All objectives of a trial that ran to its end, in the order of the plan; empty for another."""
    violations: Mapping[str, float] = field(default_factory=dict)
    """Constraint (a metric, or `health`) -> by how much it was missed; 0 where it was met, absent where not judged."""
    audited: Mapping[str, Any] | None = None
    """The verdict that would have stopped a trial that the audit let run to its end: rule, why, epoch."""

    @property
    def feasible(self) -> bool:
        """Whether every constraint that was judged is met."""
        return all(missed <= 0 for missed in self.violations.values())


@dataclass(frozen=True, slots=True)
class TrialStarted:
    """A trial begins, or goes on after a pause."""

    number: int
    name: str | None
    params: Mapping[str, Any]
    resumed_at: int = 0
    """Epochs it had already finished."""


@dataclass(frozen=True, slots=True)
class EpochDone:
    """A trial finished an epoch."""

    number: int
    report: EpochReport
    value: float | None
    """The objective at this epoch."""


@dataclass(frozen=True, slots=True)
class VerdictGiven:
    """A health rule warned or stopped."""

    number: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Warned:
    """What trains a trial logged a warning: a damaged checkpoint was passed over, for one."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class TrialPaused:
    """A trial waits at a rung until it is promoted or the search is over."""

    number: int
    epoch: int


@dataclass(frozen=True, slots=True)
class AlarmRaised:
    """Nearly every trial is being stopped: the rule that does it, and what to change, in a sentence."""

    rule: str
    why: str


@dataclass(frozen=True, slots=True)
class TrialFinished:
    """A trial ended: complete, pruned or failed."""

    record: TrialRecord


Event = TrialStarted | EpochDone | VerdictGiven | Warned | TrialPaused | AlarmRaised | TrialFinished
Listener = Callable[[Event], None]
