"""A study that lasts as long as its process: for searches that are only simulated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from optuna.distributions import BaseDistribution

from abr_tune.search.events import TrialRecord, TrialState
from abr_tune.search.fidelity import Point
from abr_tune.search.ledger import Ending, StoredTrial
from abr_tune.search.records import ended_record


@dataclass(slots=True)
class _Trial:
    name: str | None
    values: Mapping[str, Any]
    raw: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]
    state: TrialState = "running"
    points: dict[int, Point] = field(default_factory=dict)
    parked: bool = False
    epochs: int | None = None
    """Where it waits, paused or interrupted; None: its last point says."""
    metrics: Mapping[str, float] | None = None
    noted: dict[str, Any] = field(default_factory=dict)
    ending: Ending | None = None
    place: int = 0
    """Among those that ended, from 1."""


class MemoryStudy:
    """A `Ledger` that writes nothing down."""

    def __init__(self) -> None:
        self._trials: list[_Trial] = []
        self._ended = 0
        self._heard = False

    @property
    def next_number(self) -> int:
        """The number of the next trial."""
        return len(self._trials)

    def stored(self) -> Sequence[StoredTrial]:
        """All trials, by number."""
        return [self._stored(number) for number in range(len(self._trials))]

    @property
    def over(self) -> str | None:
        """Nobody else works here."""
        return None

    def turn(self) -> AbstractContextManager[object]:
        """Nobody else works here."""
        return nullcontext()

    def news(self) -> Sequence[tuple[StoredTrial, bool]]:
        """All trials, by number, the first time; afterwards whoever asks knows them."""
        heard, self._heard = self._heard, True
        return [] if heard else [(trial, True) for trial in self.stored()]

    def _stored(self, number: int) -> StoredTrial:
        trial = self._trials[number]
        return StoredTrial(
            record=self.record(number),
            points=tuple(trial.points[epoch] for epoch in sorted(trial.points)),
            parked=trial.parked,
            raw=trial.raw,
            distributions=trial.distributions,
            ended=float(trial.place),
            states=trial.ending.states if trial.ending is not None else (),
            waited=trial.ending is not None and trial.ending.waited,
        )

    def records(self) -> list[TrialRecord]:
        """All trials, by number."""
        return [self.record(number) for number in range(len(self._trials))]

    def record(self, number: int) -> TrialRecord:
        """One trial."""
        trial = self._trials[number]
        if trial.ending is not None:
            said = replace(trial.ending, attributes=trial.noted | dict(trial.ending.attributes))
            return ended_record(number, trial.name, trial.values, said)
        return TrialRecord(
            number=number,
            name=trial.name,
            state=trial.state,
            value=None,
            params=trial.values,
            metrics=trial.metrics,
            epochs=trial.epochs if trial.epochs is not None else max(trial.points, default=0),
            audited=trial.noted.get("audited"),
        )

    def begin(
        self,
        raw: Mapping[str, Any],
        distributions: Mapping[str, BaseDistribution],
        values: Mapping[str, Any],
        name: str | None,
    ) -> int:
        """Record a trial as running; returns its number."""
        self._trials.append(_Trial(name, dict(values), dict(raw), dict(distributions)))
        return len(self._trials) - 1

    def report(self, number: int, point: Point) -> None:
        """Note an epoch of a running trial."""
        self._trials[number].points[point.epoch] = point

    def rewind(self, number: int, epoch: int) -> None:
        """Forget what a trial had from `epoch` on."""
        trial = self._trials[number]
        trial.points = {known: point for known, point in trial.points.items() if known < epoch}

    def flush_if_due(self) -> None:
        """Nothing ever waits."""

    def finish(self, number: int, ending: Ending) -> None:
        """Give a trial its final state. Raises as `finish_all` does."""
        self.finish_all({number: ending})

    def finish_all(self, endings: Mapping[int, Ending]) -> None:
        """Give trials their final state.

        Raises `ValueError` for a complete trial without values, and for one that has ended already.
        """
        for number, ending in endings.items():
            trial = self._trials[number]
            if trial.ending is not None:
                raise ValueError(f"trial {number} has ended already")
            if bool(ending.values) != (ending.state == "complete"):
                raise ValueError(f"trial {number} cannot end as {ending}")
            self._ended += 1
            trial.state, trial.ending, trial.place, trial.parked = ending.state, ending, self._ended, False

    def note(self, number: int, attributes: Mapping[str, Any]) -> None:
        """Keep something of a trial that has not ended."""
        self._trials[number].noted |= attributes

    def park(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """A running trial is paused."""
        trial = self._trials[number]
        trial.parked, trial.epochs, trial.metrics = True, epoch, dict(metrics)

    def resume(self, number: int) -> None:
        """A trial that was interrupted or paused runs again."""
        trial = self._trials[number]
        trial.state, trial.parked, trial.epochs, trial.metrics = "running", False, None, None

    def interrupt(self, epochs: Mapping[int, int], metrics: Mapping[int, Mapping[str, float]]) -> None:
        """Trials wait to go on from the epochs given; paused ones stay paused."""
        for number, epoch in epochs.items():
            trial = self._trials[number]
            trial.state, trial.epochs, trial.metrics = "waiting", epoch, metrics.get(number, trial.metrics)
