"""What passes between the one who decides (a `Source`) and the one who trains (an executor)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import BaseModel

from abr_tune.limits import UNLIMITED
from abr_tune.plan.begun import StartWeights
from abr_tune.plan.plan import Limits
from abr_tune.search.retries import Loss
from abr_tune.trial import NO_LEAVE, Leave, TrialStep
from core.health import HealthOptions
from core.tasks.task import Objective, Task

Ruling = Literal["go_on", "stop", "pause"]
"""Train the next epoch; end for good; end for now, to go on from the checkpoint when the source asks again."""

ExecutorName = Literal["ray", "inline"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One stretch of training: from the start or from the folder's checkpoint until it ends or is told to."""

    key: int
    """The source's own number for it."""
    options: BaseModel
    seed: int
    folder: Path
    config: Mapping[str, Any]
    """What the folder's `config.yaml` says."""
    since: int = 0
    """Epochs the source knows already."""
    milestones: tuple[int, ...] = ()
    """Ages of the objectives at which a ruling is due before another epoch is trained."""
    leave: Leave = NO_LEAVE
    """Which stops by health rules it need not obey."""


@dataclass(frozen=True, slots=True)
class Carried:
    """A file, for machines that see it and for those that do not."""

    path: Path
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What every training of a run has in common; sent to each worker once."""

    task: Task
    dataset: Any
    """What `task.load` returned; None for a task without data. Read only."""
    health: HealthOptions
    baselines: Mapping[str, float]
    objectives: tuple[Objective, ...] = ()
    """What the milestones of a job count for: see `fidelity.age_of`."""
    cpus: int = 1
    limits: Limits = UNLIMITED
    """What one training may take."""
    start: Carried | None = None
    """The weights every training begins from; None: each from random ones."""


def carried(start: StartWeights | None) -> Carried | None:
    """The weights of a plan with their content.

    Raises:
        UserError: the file is gone, or holds something else.
    """
    return None if start is None else Carried(start.path.resolve(), start.checked().read_bytes())


class Source(Protocol):
    """Hands out jobs and hears what becomes of them; only one call is made at a time.

    Every job ends in exactly one of `finish`, `crash` and `lost`, or is open when `stopped` is called.
    """

    def ask(self) -> Job | None:
        """The next job; None when there is none now. Only asked while fewer jobs are open than the executor may run."""
        ...

    @property
    def done(self) -> bool:
        """Whether no job will ever come again."""
        ...

    @property
    def waits(self) -> bool:
        """Whether a job will come by itself after a while: one that was lost goes on after a pause."""
        ...

    def report(self, key: int, step: TrialStep) -> Ruling:
        """An epoch has ended, or something stopped being finite."""
        ...

    def finish(self, key: int) -> None:
        """The training has ended, by itself or because of a ruling."""
        ...

    def crash(self, key: int, error: str) -> None:
        """The task's code raised."""
        ...

    def lost(self, key: int, error: str, loss: Loss) -> None:
        """The worker died under it, or memory ran out."""
        ...

    def should_stop(self) -> bool:
        """Whether everything is to end now, for a signal or a deadline."""
        ...

    def stopped(self) -> None:
        """The executor does as `should_stop` says: of jobs that are open nothing more will be heard."""
        ...
