"""What passes between the search and whoever proposes its configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from abr_tune.plan.plan import Sampler
from abr_tune.plan.space import Raw, Space
from core.tasks.task import Objective

Values = tuple[float, ...]
"""The objectives of a plan, in its order; all finite."""
Curve = Mapping[int, Values]
"""Age -> objectives. An age counts the epochs for which what the objective measures has been trained."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What a trial that has ended taught about its configuration."""

    values: Values | None = None
    """The objectives of a trial that ran to its end; None for one that was stopped."""
    curve: Curve = field(default_factory=dict)
    """What it reached on the way: a stopped trial counts at the ages it reached and never as if it had finished."""
    violations: Mapping[str, float] = field(default_factory=dict)
    """Constraint -> by how much it was missed, 0 where met; `health` says how badly a stopped trial had collapsed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a sampler is made for."""

    space: Space
    options: Sampler
    seed: int
    objectives: tuple[Objective, ...]
    rungs: tuple[int, ...] = ()
    """Ages at which trials are compared before their end, increasing; empty when only ends are."""
    earlier: Sequence[tuple[Mapping[str, Raw], Observation]] = ()
    """Trials of an earlier run that lie in this space: worth something only until there are enough of its own."""


class Exhausted(Exception):
    """Every configuration a sampler can propose has been tried."""


class Proposer(Protocol):
    """A sampler at work: it hears of every trial inside the space and is asked for new ones."""

    def running(self, number: int, raw: Mapping[str, Raw]) -> None:
        """A trial that was not proposed here, or not in this process, is being trained."""
        ...

    def progress(self, number: int, curve: Curve) -> None:
        """An open trial has got this far; said at the rungs, and of paused trials."""
        ...

    def learn(self, number: int, observation: Observation | None) -> None:
        """A trial has ended; None when nothing can be learnt from it."""
        ...

    def propose(self, number: int) -> dict[str, Raw]:
        """Coordinate -> raw value for the trial with this number; inactive coordinates are missing.

        Raises `Exhausted` when there is nothing left to propose.
        """
        ...
