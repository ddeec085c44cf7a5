"""Every combination of some values of each coordinate, once each."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from abr_tune.errors import UserError
from abr_tune.plan.space import Categorical, Coordinate, Int, Raw, Space
from abr_tune.search.observation import Curve, Exhausted, Observation, Setting
from abr_tune.search.samplers.coordinates import collect, seed_of

POINTS: Final = 5
"""Values tried of a range of numbers that does not say how many."""
LARGEST: Final = 100_000
"""Combinations of the largest grid that is searched; nobody trains more of them."""


class Grid:
    """The combinations in an order drawn from the seed, so that any part of the grid is spread over all of it.

    Optuna's grid knows no conditions; this one lists each configuration once, whatever is inactive in it. A trial whose
    configuration lies on the grid counts as visited, whoever proposed it; one that failed is not repeated.
    Raises `UserError` for a grid of more than `LARGEST` combinations.
    """

    def __init__(self, setting: Setting) -> None:
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


def values(coordinate: Coordinate, points: int | None) -> Sequence[Raw]:
    """The values of a coordinate on the grid: all choices, or `points` from end to end, fewer if there are fewer.

    Without `points`, all whole numbers of a range, or `POINTS` of a range of numbers.
    """
    domain = coordinate.domain
    if isinstance(domain, Categorical):
        return domain.choices
    if isinstance(domain, Int) and (points is None or domain.high - domain.low < points):
        return range(domain.low, domain.high + 1)
    points = points or POINTS
    shares = np.linspace(0, 1, points) if points > 1 else [0.5]
    return tuple(dict.fromkeys(coordinate.at(float(share)) for share in shares))


def _cells(space: Space) -> Iterator[dict[str, Raw]]:
    """All configurations: an odometer over the active coordinates, whose last wheel turns fastest."""
    choices = {
        side.name: values(side, item.points)
        for item in space.parameters
        for side in item.distribution.coordinates(item.path)
    }
    wheels: list[int] = []
    for _ in range(LARGEST):
        raw = _at(space, choices, wheels)
        yield raw
        wheels = [*wheels, *[0] * (len(raw) - len(wheels))]
        names = list(raw)
        while wheels and wheels[-1] == len(choices[names[len(wheels) - 1]]) - 1:
            wheels.pop()
        if not wheels:
            return
        wheels[-1] += 1
    raise UserError(
        f"sampler: grid: this space has more than {LARGEST:,} combinations; search fewer paths, give ranges fewer"
        " `points`, or use qmc"
    )


def _at(space: Space, choices: Mapping[str, Sequence[Raw]], wheels: Sequence[int]) -> dict[str, Raw]:
    """The configuration at these positions, the first value of whatever comes after the last of them."""
    turned = iter(wheels)
    return collect(space, lambda side: choices[side.name][next(turned, 0)])


def _key(raw: Mapping[str, Raw]) -> Hashable:
    """1 and True are different values, 1 and 1.0 the same."""
    return tuple((name, isinstance(value, bool), value) for name, value in sorted(raw.items()))
