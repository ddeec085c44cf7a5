"""The grid of a space: which values of each coordinate are tried, and how many combinations they make."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from abr_tune.plan.distributions import Choice, IntRange
from abr_tune.plan.space import Categorical, Condition, Coordinate, Int, Parameter, Raw, Space

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
    always = math.prod(
        _size(side, item.points)
        for item in space.parameters
        if not item.when
        for side in item.distribution.coordinates(item.path)
    )
    return always if always > enough else _count(space.parameters, enough, {})


def _count(parameters: Sequence[Parameter], enough: int, counted: dict[tuple[str, ...], int]) -> int:
    """The combinations of these, whose conditions on earlier ones hold; `counted` remembers what was asked before."""
    paths = tuple(item.path for item in parameters)
    if paths not in counted:
        total = 0 if parameters else 1
        for later, values in _branches(parameters[0], parameters[1:]) if parameters else ():
            total += values * _count(later, enough, counted)
            if total > enough:
                break
        counted[paths] = total
    return counted[paths]


def _branches(first: Parameter, rest: Sequence[Parameter]) -> Iterator[tuple[Sequence[Parameter], int]]:
    """What is searched beside a value of `first`, and how many of its values that goes for."""
    sides = first.distribution.coordinates(first.path)
    others = math.prod(_size(side, first.points) for side in sides)
    conditions = [condition for item in rest for condition in item.when if condition.path == first.path]
    if conditions:  # on choices and whole numbers: one coordinate
        alike: dict[tuple[bool, ...], tuple[Any, int]] = {}
        for value in _told_apart(first, sides[0], conditions):
            pattern = tuple(condition.holds({first.path: value}) for condition in conditions)
            alike[pattern] = (value, alike.get(pattern, (None, 0))[1] + 1)
        for value, count in alike.values():
            yield _searched(rest, first.path, {first.path: value}), count
            others -= count
        rest = _searched(rest, first.path, {})
    if others:
        yield rest, others


def _told_apart(item: Parameter, side: Coordinate, conditions: Sequence[Condition]) -> Sequence[Any]:
    """Values on the grid that a condition may name; of a long range of whole numbers only those that one does."""
    if isinstance(side.domain, Int) and item.points is None:
        named = {value for condition in conditions for value in condition.values if isinstance(value, int)}
        return [value for value in named if side.domain.low <= value <= side.domain.high]
    return [item.distribution.decode([raw]) for raw in grid_values(side, item.points)]


def _searched(rest: Sequence[Parameter], path: str, chosen: Mapping[str, Any]) -> Sequence[Parameter]:
    """Those of `rest` that are still searched once `path` has its chosen value, or one that no condition names."""
    lost: set[str] = set()
    kept = []
    for item in rest:
        if any(one.path in lost or (one.path == path and not one.holds(chosen)) for one in item.when):
            lost.add(item.path)
        else:
            kept.append(item)
    return kept


def _size(side: Coordinate, points: int | None) -> int:
    """How many `grid_values` there are; of a range of whole numbers that may be too long even to be counted."""
    if isinstance(side.domain, Int) and points is None:
        return side.domain.high - side.domain.low + 1
    return len(grid_values(side, points))
