"""The searched box in numbers: a configuration is a row, an inactive coordinate NaN."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from abr_tune.plan.space import Categorical, Coordinate, Float, Int, Raw, Space
from abr_tune.search.samplers.coordinates import collect

# Shapes: N configurations, D coordinates of the space.
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Box:
    """The coordinates of a space: numbers by the share of the range below them, choices by their place in the list."""

    space: Space
    sides: tuple[Coordinate, ...] = field(init=False)
    choices: tuple[int, ...] = field(init=False)
    """Choices of each coordinate; 0 for one of numbers."""

    def __post_init__(self) -> None:
        sides = self.space.coordinates
        counts = (len(side.domain.choices) if isinstance(side.domain, Categorical) else 0 for side in sides)
        object.__setattr__(self, "sides", sides)
        object.__setattr__(self, "choices", tuple(counts))

    def row(self, raw: Mapping[str, Raw]) -> Floats:
        """Where a configuration lies. Shape: (D,)."""
        return np.array([_place(side, raw[side.name]) if side.name in raw else math.nan for side in self.sides])

    def raw(self, row: Floats) -> dict[str, Raw]:
        """The configuration at a place; whole numbers are rounded, what is inactive there is left out."""
        at = {side.name: value for side, value in zip(self.sides, row, strict=True)}
        return collect(self.space, lambda side: _value(side, at[side.name]))

    def cells(self, rows_ND: Floats, column: int) -> tuple[Floats, Floats] | None:
        """Lower and upper edge of the whole numbers in a column, as shares; None for one without whole numbers."""
        domain = self.sides[column].domain
        if not isinstance(domain, Int):
            return None
        low, high = _bounds(domain)
        if not domain.log:
            half = 0.5 / (high - low)
            return rows_ND[:, column] - half, rows_ND[:, column] + half
        values = np.rint(np.exp(low + (high - low) * rows_ND[:, column]))
        return (np.log(values - 0.5) - low) / (high - low), (np.log(values + 0.5) - low) / (high - low)


def _place(side: Coordinate, value: Raw) -> float:
    domain = side.domain
    if isinstance(domain, Categorical):
        return float(domain.choices.index(value))
    low, high = _bounds(domain)
    number = float(value)  # type: ignore[arg-type]  # what lies in a range is a number
    return 0.5 if low == high else ((math.log(number) if domain.log else number) - low) / (high - low)


def _value(side: Coordinate, place: float) -> Raw:
    if isinstance(side.domain, Categorical):
        return side.domain.choices[int(place)]
    return side.at(place)


def _bounds(domain: Float | Int) -> tuple[float, float]:
    """The ends of the range on its own scale; a whole number reaches half a step to either side."""
    low, high = (domain.low - 0.5, domain.high + 0.5) if isinstance(domain, Int) else (domain.low, domain.high)
    return (math.log(low), math.log(high)) if domain.log else (low, high)
