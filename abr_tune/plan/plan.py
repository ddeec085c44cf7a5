"""What a space file asks for, resolved and checked; everything downstream reads this and not the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from abr_tune.errors import Problem
from abr_tune.plan.begun import StartWeights
from abr_tune.plan.relocate import code_folder, relocated
from abr_tune.plan.space import Space
from core.health import HealthOptions
from core.tasks.task import Objective, Task


@dataclass(frozen=True, slots=True)
class StartPoint:
    """A configuration tried before the sampler's own; unnamed paths keep their documented defaults."""

    name: str
    values: Mapping[str, Any]


PrunerName = Literal["none", "median", "successive_halving", "hyperband", "screening", "wilcoxon"]
SamplerName = Literal["tpe", "optuna_tpe", "gp", "cmaes", "nsga2", "random", "qmc", "grid"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruner:
    """Which ranking between trials stops the hopeless ones."""

    kind: PrunerName = "successive_halving"
    promote: bool = True
    """successive_halving, hyperband: trials pause at each rung and the best go on from their checkpoints; without it,
    a trial is stopped for good when it reaches a rung outside the best."""
    reduction: int = 4
    """successive_halving, hyperband: one in `reduction` trials goes on from each rung."""
    min_epochs: int = 1
    """First epoch at which a trial may be stopped by ranking; screening: the epoch at which all are compared."""
    startup_trials: int = 5
    """median: trials that run in full before any is stopped."""
    keep: float = 0.1
    """screening: share of the budget's trials that is trained to the end."""
    p_value: float = 0.1
    """wilcoxon: chance of stopping a trial that is as good as the best, under which one is stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """Who proposes configurations."""

    kind: SamplerName = "tpe"
    startup_trials: int = 10
    """tpe, optuna_tpe, gp, cmaes: random proposals before the model is used."""
    random_share: float = 0.15
    """tpe: share of the later proposals that is random all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much may be spent on the search; confirmation is not part of it."""

    trials: int
    seconds: float | None = None
    epochs: int | None = None
    """No trial is started any more once so many epochs have been trained; those that run are brought to their end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """The `top` leaders are trained again with `seeds` fresh seeds; 0 switches confirmation off."""

    top: int = 5
    seeds: int = 3
    folds: int = 0
    """Into how many parts the training and validation data are divided anew, for every leader and seed to be trained
    once per part held out; 0: only the plan's own division."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one trial may take before it is stopped; None: anything."""

    seconds: float | None = None
    """Wall time of its training, pauses not counted."""
    bytes: int | None = None
    """Memory that the trial added to its process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """When the whole search ends before its budget is spent."""

    no_improvement: int | None = None
    """Trials that ended in a row without a better best; None: never."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A comparison with a number, as in `> 0.60`."""

    operator: Literal[">", ">=", "<", "<=", "=="]
    value: float


@dataclass(frozen=True, slots=True)
class Constraint:
    """What a metric of the last epoch must meet for a trial to be eligible as the best."""

    metric: str
    bound: Bound


@dataclass(frozen=True, slots=True)
class Criterion:
    """One line of the gate: misses of `go` that meet `investigate` ask for a closer look, others are no-go."""

    metric: str
    go: Bound
    investigate: Bound | None = None
    by_epoch: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What one trial is given."""

    cpus: int = 1
    gpus: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A search, resolved: the task object, its data options, the space, and every rule of the run."""

    name: str
    about: str
    file: Path
    """The space file as given."""
    task_name: str
    """A name in `core.tasks.TASKS`, or `module:attribute`."""
    task: Task
    data: Any
    """Checked data options, an instance of the task's `data` model; None for a task without data."""
    train: Mapping[str, Any]
    """Path -> fixed value."""
    space: Space
    start_from: tuple[StartPoint, ...]
    objectives: tuple[Objective, ...]
    """One, or several whose Pareto front is sought."""
    health: HealthOptions
    pruner: Pruner
    sampler: Sampler
    budget: Budget
    confirm: Confirm
    gate: tuple[Criterion, ...]
    resources: Resources
    seed: int
    constraints: tuple[Constraint, ...] = ()
    limits: Limits = Limits()
    stop: Stop = Stop()
    audit: float = 0.0
    """Share of the trials that run to their end whatever stops them, to measure false stops."""
    since: Path | None = None
    """Folder of an earlier run (`from:`): its best configuration is tried first, its trials teach the sampler."""
    inherited: Mapping[str, Any] = field(default_factory=dict)
    """What of `train` is not the file's: options of the earlier run's best configuration."""
    start: StartWeights | None = None
    """What every training begins from; None: from random weights."""
    warnings: tuple[Problem, ...] = field(default=(), compare=False)
    """What this machine lacks for it, where it stands in the file."""

    @property
    def objective(self) -> Objective:
        """The first objective, which leads wherever one number is asked for."""
        return self.objectives[0]

    @property
    def folder(self) -> Path:
        """Relative paths of the data section are relative to this."""
        return self.file.parent

    def data_from(self, folder: Path) -> dict[str, Any] | None:
        """The data section as a file in `folder` must say it; None for a task without data."""
        return None if self.data is None else relocated(self.data, old=self.folder, new=folder)

    def start_from_folder(self, folder: Path) -> dict[str, str] | None:
        """The start weights as a file in `folder` must say them; None for trainings that begin with random ones."""
        return None if self.start is None else self.start.said_from(folder)

    def code_from(self, folder: Path) -> str | None:
        """Where a file in `folder` finds the module of a task of one's own; None for a task of this package."""
        return code_folder(self.task_name, old=self.folder, new=folder)
