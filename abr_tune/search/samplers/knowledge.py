"""What a model-based sampler knows of the trials, in growing columns of numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from abr_tune.search.constraints import HEALTH
from abr_tune.search.observation import Curve, Observation, Values
from abr_tune.search.samplers.box import Flags, Floats
from core.tasks.task import Objective

END: Final = math.inf
"""The age of a trial that ran to its end: ends are compared with ends, whatever their length."""

# Shapes: N trials, D coordinates, M objectives.


@dataclass(frozen=True, slots=True)
class View:
    """Trials that are running or have taught something, by number; earlier runs' have negative ones."""

    numbers_N: Floats
    rows_ND: Floats
    """Where they lie in the box."""
    ages_N: Floats
    """How old they are known to have become; NaN while nothing was heard of them since they began."""
    ended_N: Flags
    losses: Mapping[float, Floats]
    """Level -> objectives turned so that smaller is better, NaN where a trial has no value there. Shape: (N, M)."""
    missed: Mapping[str, Floats]
    """Constraint -> by how much it was missed, NaN where it was not judged. Shape: (N,)."""

    @property
    def heard(self) -> Flags:
        """Which trials something is known of. Shape: (N,)."""
        return self.ended_N | ~np.isnan(self.ages_N)

    @property
    def collapsed(self) -> Flags:
        """Which trials were stopped for their health. Shape: (N,)."""
        return np.asarray(self.missed.get(HEALTH, np.zeros(len(self.numbers_N))) > 0)

    @property
    def violation(self) -> Floats:
        """All that was missed, added up. Shape: (N,)."""
        return sum((np.nan_to_num(missed) for missed in self.missed.values()), np.zeros(len(self.numbers_N)))

    def only(self, which: Flags) -> View:
        """Some of the trials."""
        losses = {level: values[which] for level, values in self.losses.items()}
        missed = {name: values[which] for name, values in self.missed.items()}
        return View(self.numbers_N[which], self.rows_ND[which], self.ages_N[which], self.ended_N[which], losses, missed)


class Knowledge:
    """Where trials lie in the box and what became of them. `levels`: the ages at which they are compared."""

    def __init__(self, dimensions: int, objectives: Sequence[Objective], levels: Sequence[float]) -> None:
        self._signs = [-1.0 if objective.direction == "maximize" else 1.0 for objective in objectives]
        self._numbers: list[int] = []
        self._places: dict[int, int] = {}
        self._dimensions = dimensions
        self._rows, self._ages, self._state = _Column(dimensions), _Column(1), _Column(1)
        self._losses = {level: _Column(len(objectives)) for level in levels}
        self._missed: dict[str, _Column] = {}

    def begin(self, number: int, row: Floats) -> None:
        """A trial is being trained at a place of the box."""
        place = self._places.setdefault(number, len(self._numbers))
        if place == len(self._numbers):
            self._numbers.append(number)
        self._rows.put(place, row)
        self._state.put(place, [0.0])

    def progress(self, number: int, curve: Curve) -> None:
        """An open trial has got this far."""
        place = self._places.get(number)
        if place is not None and curve:
            self._curve(place, curve)

    def end(self, number: int, observation: Observation | None) -> None:
        """A trial has ended; one that taught nothing is not seen any more."""
        place = self._places.get(number)
        if place is None:
            return
        self._state.put(place, [math.nan if observation is None else 1.0])
        if observation is None:
            return
        self._curve(place, observation.curve)
        if observation.values is not None:
            self._losses[END].put(place, self._loss(observation.values))
            self._ages.put(place, [END])
        for name, missed in observation.violations.items():
            self._missed.setdefault(name, _Column(1)).put(place, [missed])

    def view(self) -> View:
        """What is known now. Depends on what was heard, not on the order in which it was."""
        count = len(self._numbers)
        numbers = np.array(self._numbers, dtype=float)
        state = self._state.first(count)[:, 0]
        order = np.argsort(numbers, kind="stable")
        order = order[~np.isnan(state[order])]
        return View(
            numbers[order],
            self._rows.first(count)[order],
            self._ages.first(count)[order, 0],
            state[order] == 1,
            {level: column.first(count)[order] for level, column in self._losses.items()},
            {name: column.first(count)[order, 0] for name, column in self._missed.items()},
        )

    def _curve(self, place: int, curve: Curve) -> None:
        for level, column in self._losses.items():
            if level in curve:
                column.put(place, self._loss(curve[int(level)]))
        self._ages.put(place, [max(curve, default=0)])

    def _loss(self, values: Values) -> list[float]:
        return [sign * value for sign, value in zip(self._signs, values, strict=True)]


class _Column:
    """Rows of floats by the place of a trial, NaN where nothing is known; grows by doubling."""

    def __init__(self, width: int) -> None:
        self._rows = np.full((64, width), np.nan)

    def put(self, place: int, row: Sequence[float] | Floats) -> None:
        self._reach(place + 1)
        self._rows[place] = row

    def first(self, count: int) -> Floats:
        self._reach(count)
        return self._rows[:count]

    def _reach(self, count: int) -> None:
        while count > len(self._rows):
            self._rows = np.concatenate([self._rows, np.full_like(self._rows, np.nan)])
