"""What a search needs of whoever keeps its trials: the durable study, or a memory for simulations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from optuna.distributions import BaseDistribution

from abr_tune.search.events import TrialRecord, TrialState
from abr_tune.search.fidelity import Point
from abr_tune.search.observation import Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a trial ended, with everything that is written beside its state."""

    state: TrialState
    """complete, pruned or failed."""
    values: Values = ()
    """The objectives, all of them finite, for complete trials only."""
    violations: Mapping[str, float] = field(default_factory=dict)
    """Constraint -> by how much it was missed, 0 where it was met."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    states: tuple[str, ...] = ()
    """Of health, in which it was seen on its way."""
    waited: bool = False
    """It was pruned where it was paused, because the search was over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTrial:
    """A trial as it is kept: all that a search needs to go on with it or to learn from it."""

    record: TrialRecord
    points: tuple[Point, ...] = ()
    """By epoch."""
    parked: bool = False
    """Whether it is paused at a rung."""
    raw: Mapping[str, Any] = field(default_factory=dict)
    """Coordinate -> value; empty for a start point outside the space."""
    distributions: Mapping[str, BaseDistribution] = field(default_factory=dict)
    """Of these coordinates, as they were then."""
    ended: float = 0.0
    """When it ended, in seconds: an order."""
    states: tuple[str, ...] = ()
    waited: bool = False
    """As its `Ending` had them."""


class Ledger(Protocol):
    """The only truth about trials; every change of one is on record when the call returns, values within a second."""

    @property
    def next_number(self) -> int:
        """The number of the next trial."""
        ...

    def turn(self) -> AbstractContextManager[object]:
        """While this is entered no other driver of the study decides anything that concerns all trials."""
        ...

    def news(self) -> Sequence[tuple[StoredTrial, bool]]:
        """Trials that others may have changed since this was last asked, at first all, by number; only in a turn.

        Each with whether it is free: unfinished, and to be gone on with by whoever resumes it.
        """
        ...

    @property
    def over(self) -> str | None:
        """Why the first driver of the study has ended the search for all of them; None while it has not."""
        ...

    def begin(
        self,
        raw: Mapping[str, Any],
        distributions: Mapping[str, BaseDistribution],
        values: Mapping[str, Any],
        name: str | None,
    ) -> int:
        """Record a trial as running; returns its number. `raw` is by coordinate, `values` by path."""
        ...

    def report(self, number: int, point: Point) -> None:
        """Note an epoch of a running trial."""
        ...

    def rewind(self, number: int, epoch: int) -> None:
        """What a trial had from `epoch` on belongs to an attempt that is not continued."""
        ...

    def flush_if_due(self) -> None:
        """Write what has been waiting for too long."""
        ...

    def finish(self, number: int, ending: Ending) -> None:
        """Give a trial its final state. Raises as `finish_all` does."""
        ...

    def finish_all(self, endings: Mapping[int, Ending]) -> None:
        """Give trials their final state, in one transaction.

        Raises `ValueError` for a complete trial without values, and for one that has ended already.
        """
        ...

    def note(self, number: int, attributes: Mapping[str, Any]) -> None:
        """Keep something of a trial that has not ended."""
        ...

    def park(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """A running trial is paused after `epoch`, where it had these metrics."""
        ...

    def resume(self, number: int) -> None:
        """A trial that was interrupted or paused runs again."""
        ...

    def interrupt(self, epochs: Mapping[int, int], metrics: Mapping[int, Mapping[str, float]]) -> None:
        """Trials wait to go on from the epochs given, where they had these metrics; paused ones stay paused."""
        ...
