"""The grid of a space: which values of each coordinate are tried, and how many combinations they make."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from abr_tune.plan.distributions import Choice, IntRange
from abr_tune.plan.space import Categorical, Coordinate, Int, Parameter, Raw, Space

LARGEST_GRID: Final = 100_000
"""Combinations of the largest grid that is searched; nobody trains more of them."""


def needs_points(parameter: Parameter) -> bool:
    """Whether a grid cannot tell how many of its values to try: a range of numbers that does not say."""
    return parameter.points is None and not isinstance(parameter.distribution, Choice | IntRange)


def grid_values(coordinate: Coordinate, points: int | None) -> Sequence[Raw]:
    """The values of a coordinate on the grid, in order: all there are, or `points` of them from end to end.

    One point is the middle. Raises `ValueError` for a range of numbers without `points`.
    """
    domain = coordinate.domain
    if isinstance(domain, Categorical):
        return domain.choices
    if isinstance(domain, Int) and (points is None or domain.high - domain.low < points):
        return range(domain.low, domain.high + 1)
    if points is None:
        raise ValueError(f"{coordinate.name} does not say how many points of it a grid tries")
    shares = [i / (points - 1) for i in range(points)] if points > 1 else [0.5]
    return tuple(dict.fromkeys(coordinate.at(share) for share in shares))


def combinations(space: Space, *, enough: int) -> int:
    """How many configurations the grid has, or some number above `enough` when there are more than that.

    Paths whose condition does not hold do not multiply them. Raises `ValueError` when a range does not say how many of
    its values are tried.
    """
    parents = {condition.path for item in space.parameters for condition in item.when}
    return _count(space.parameters, {}, parents, enough)


def _count(parameters: Sequence[Parameter], chosen: Mapping[str, Any], parents: set[str], enough: int) -> int:
    product = 1
    for i, item in enumerate(parameters):
        if not all(condition.holds(chosen) for condition in item.when):
            continue
        sides = item.distribution.coordinates(item.path)
        size = math.prod(_size(side, item.points) for side in sides)
        if product * size > enough:
            return product * size
        if item.path in parents:  # choices and whole numbers: one coordinate
            values = [item.distribution.decode([raw]) for raw in grid_values(sides[0], item.points)]
            rest = parameters[i + 1 :]
            return product * sum(_count(rest, {**chosen, item.path: one}, parents, enough) for one in values)
        product *= size
    return product


def _size(side: Coordinate, points: int | None) -> int:
    """How many `grid_values` there are; of a range of whole numbers that may be too long even to be counted."""
    if isinstance(side.domain, Int) and points is None:
        return side.domain.high - side.domain.low + 1
    return len(grid_values(side, points))
