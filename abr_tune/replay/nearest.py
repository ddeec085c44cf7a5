"""From what a sampler proposes to what was recorded: the nearest configuration that has not been tried yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abr_tune.plan.distributions import same
from abr_tune.plan.space import Categorical, Coordinate, Int, Raw, Space
from abr_tune.replay.ground import Run
from abr_tune.search.observation import Curve, Exhausted, Observation, Proposer

Floats = NDArray[np.float64]


class Shelf:
    """The recorded configurations, each of which may be taken once.

    Distance is measured in the unit box of coordinates (a logarithmic one by its logarithm): the root of the summed
    squares, where two different categories are 1 apart and a coordinate that is inactive in either does not count,
    since what made it so already does.
    """

    def __init__(self, space: Space, runs: Sequence[Run]) -> None:
        self._sides = space.coordinates
        self._categorical = np.array([isinstance(side.domain, Categorical) for side in self._sides], dtype=bool)
        self._runs = runs
        self._places_ND = np.array([self._place(run.raw) for run in runs]).reshape(len(runs), len(self._sides))
        self._free_N = np.ones(len(runs), dtype=bool)

    @property
    def left(self) -> int:
        """How many have not been taken."""
        return int(self._free_N.sum())

    def take(self, raw: Mapping[str, Raw]) -> Run:
        """The nearest one left, the first recorded among equals. Raises `Exhausted` when there is none."""
        if not self.left:
            raise Exhausted
        apart_ND = np.abs(self._places_ND - self._place(raw))
        apart_ND[:, self._categorical] = apart_ND[:, self._categorical] > 0
        both_ND = ~np.isnan(self._places_ND) & ~np.isnan(self._place(raw))
        squares_N = np.where(both_ND, apart_ND, 0.0).__pow__(2).sum(axis=1)
        index = int(np.argmin(np.where(self._free_N, squares_N, np.inf)))
        self._free_N[index] = False
        return self._runs[index]

    def _place(self, raw: Mapping[str, Raw]) -> Floats:
        """(D,) shares of the coordinates, the index of a category; NaN where inactive."""
        return np.array([share(side, raw[side.name]) if side.name in raw else np.nan for side in self._sides])


def share(side: Coordinate, value: Any) -> float:
    """Where a value lies on its coordinate, 0 to 1: the inverse of `Coordinate.at`; of a category its index."""
    domain = side.domain
    if isinstance(domain, Categorical):
        return float(next(index for index, choice in enumerate(domain.choices) if same(choice, value)))
    low, high = (domain.low - 0.5, domain.high + 0.5) if isinstance(domain, Int) else (domain.low, domain.high)
    if low == high:
        return 0.5
    if domain.log:
        return float(np.log(value / low) / np.log(high / low))
    return float((value - low) / (high - low))


class Snapped:
    """A sampler whose every proposal is moved to the nearest recorded configuration, and which is told so."""

    def __init__(self, inner: Proposer, shelf: Shelf) -> None:
        self._inner = inner
        self._shelf = shelf
        self.taken: dict[int, Run] = {}
        """Trial -> the recorded configuration that stands for it."""

    def running(self, number: int, raw: Mapping[str, Raw]) -> None:
        """Passed on."""
        self._inner.running(number, raw)

    def progress(self, number: int, curve: Curve) -> None:
        """Passed on."""
        self._inner.progress(number, curve)

    def learn(self, number: int, observation: Observation | None) -> None:
        """Passed on."""
        self._inner.learn(number, observation)

    def propose(self, number: int) -> dict[str, Raw]:
        """What the sampler wants is withdrawn from it; what is had instead is said to be running."""
        run = self._shelf.take(self._inner.propose(number))
        self._inner.learn(number, None)
        self._inner.running(number, run.raw)
        self.taken[number] = run
        return dict(run.raw)
