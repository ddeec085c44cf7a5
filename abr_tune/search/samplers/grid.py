"""Every combination of some values of each coordinate, once each."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence

import numpy as np

from abr_tune.errors import UserError
from abr_tune.plan.grid import LARGEST_GRID, combinations, grid_values
from abr_tune.plan.space import Raw, Space
from abr_tune.search.observation import Curve, Exhausted, Observation, Setting
from abr_tune.search.samplers.coordinates import collect, seed_of


class Grid:
    """The combinations in an order drawn from the seed, so that any part of the grid is spread over all of it.

    Optuna's grid knows no conditions; this one lists each configuration once, whatever is inactive in it. A trial whose
    configuration lies on the grid counts as visited, whoever proposed it; one that failed is not repeated.
    Raises `UserError` for a grid of more than `LARGEST_GRID` combinations, `ValueError` for a range of numbers that
    does not say how many of its values are tried: a plan has neither.
    """

    def __init__(self, setting: Setting) -> None:
        if combinations(setting.space, enough=LARGEST_GRID) > LARGEST_GRID:
            raise UserError(f"the grid of this space has more than {LARGEST_GRID:,} combinations")
        cells = list(_cells(setting.space))
        order = np.random.default_rng(seed_of(setting.seed, 0)).permutation(len(cells))
        self._left = {_key(cells[i]): cells[i] for i in order}

    def running(self, number: int, raw: Mapping[str, Raw]) -> None:
        """What is being trained is not proposed again."""
        self._left.pop(_key(raw), None)

    def progress(self, number: int, curve: Curve) -> None:
        """Nothing depends on results."""

    def learn(self, number: int, observation: Observation | None) -> None:
        """Nothing depends on results."""

    def propose(self, number: int) -> dict[str, Raw]:
        """The next combination that has not been tried."""
        if not self._left:
            raise Exhausted
        return dict(self._left.pop(next(iter(self._left))))


def _cells(space: Space) -> Iterator[dict[str, Raw]]:
    """All configurations: an odometer over the active coordinates, whose last wheel turns fastest."""
    choices = {
        side.name: grid_values(side, item.points)
        for item in space.parameters
        for side in item.distribution.coordinates(item.path)
    }
    wheels: list[int] = []
    while True:
        raw = _at(space, choices, wheels)
        yield raw
        wheels = [*wheels, *[0] * (len(raw) - len(wheels))]
        names = list(raw)
        while wheels and wheels[-1] == len(choices[names[len(wheels) - 1]]) - 1:
            wheels.pop()
        if not wheels:
            return
        wheels[-1] += 1


def _at(space: Space, choices: Mapping[str, Sequence[Raw]], wheels: Sequence[int]) -> dict[str, Raw]:
    """The configuration at these positions, the first value of whatever comes after the last of them."""
    turned = iter(wheels)
    return collect(space, lambda side: choices[side.name][next(turned, 0)])


def _key(raw: Mapping[str, Raw]) -> Hashable:
    """1 and True are different values, 1 and 1.0 the same."""
    return tuple((name, isinstance(value, bool), value) for name, value in sorted(raw.items()))
