"""The searched box as Optuna and random streams know it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from abr_tune.plan.space import Categorical, Coordinate, Int, Raw, Space


def distribution(coordinate: Coordinate) -> BaseDistribution:
    """The coordinate as Optuna's study and dashboard know it."""
    domain = coordinate.domain
    if isinstance(domain, Categorical):
        return CategoricalDistribution(domain.choices)
    if isinstance(domain, Int):
        return IntDistribution(domain.low, domain.high, log=domain.log)
    return FloatDistribution(domain.low, domain.high, log=domain.log)


def seed_of(seed: int, number: int) -> int:
    """A seed of 32 bits for one trial; equal numbers of different searches do not share it."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def collect(space: Space, value: Callable[[Coordinate], Raw]) -> dict[str, Raw]:
    """The configuration that `value` makes: coordinate -> raw value, asked for the active coordinates in order."""
    raw: dict[str, Raw] = {}

    def suggest(coordinate: Coordinate) -> Raw:
        raw[coordinate.name] = value(coordinate)
        return raw[coordinate.name]

    space.propose(suggest)
    return raw


def from_shares(space: Space, share: Callable[[int], float]) -> dict[str, Raw]:
    """The configuration at a point of the unit box: `share` of the i-th of `space.coordinates`."""
    place = {coordinate.name: i for i, coordinate in enumerate(space.coordinates)}
    return collect(space, lambda coordinate: coordinate.at(share(place[coordinate.name])))
