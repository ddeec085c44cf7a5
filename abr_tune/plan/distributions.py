"""Distributions of searched values, each in bijection with a box, so that samplers never see a constraint."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

Raw = str | int | float | bool | None
"""What a sampler deals in: one number or label per coordinate."""

ROUNDING = 1e-9
"""Share of a range by which a value may lie outside it, for values that went through decimal text."""


LISTED: Final = 12
"""Values that a message names."""


@dataclass(frozen=True, slots=True)
class Float:
    """All numbers from `low` to `high`, both included; evenly spread in the logarithm when `log`."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True, slots=True)
class Int:
    """All whole numbers from `low` to `high`, both included."""

    low: int
    high: int
    log: bool = False


@dataclass(frozen=True, slots=True)
class Categorical:
    """One of some scalars or labels."""

    choices: tuple[Raw, ...]


@dataclass(frozen=True, slots=True)
class Coordinate:
    """One side of the box that samplers see."""

    name: str
    """The path, or the path and which part of its value this coordinate makes."""
    domain: Float | Int | Categorical

    def at(self, share: float) -> Raw:
        """The value below which `share` (0 to 1) of the coordinate lies."""
        domain = self.domain
        if isinstance(domain, Categorical):
            return domain.choices[min(int(share * len(domain.choices)), len(domain.choices) - 1)]
        if isinstance(domain, Int):
            low, high = domain.low - 0.5, domain.high + 0.5
            value = _log_between(low, high, share) if domain.log else low + (high - low) * share
            return min(max(round(value), domain.low), domain.high)
        if domain.log:
            return clip(_log_between(domain.low, domain.high, share), domain.low, domain.high)
        return clip(domain.low + (domain.high - domain.low) * share, domain.low, domain.high)


class Outside(ValueError):
    """A value the distribution cannot make; the text says why."""


class Distribution(Protocol):
    """Values of one searched path, and the coordinates they are made of."""

    def coordinates(self, path: str) -> tuple[Coordinate, ...]:
        """The sides of the box this distribution adds."""
        ...

    def decode(self, raw: Sequence[Any]) -> Any:
        """The value, as the training options take it, from one raw value per coordinate."""
        ...

    def encode(self, value: Any) -> tuple[Raw, ...]:
        """The raw values that `decode` makes `value` of. Raises `Outside` when there are none."""
        ...


@dataclass(frozen=True, slots=True)
class Range:
    """`{uniform: [a, b]}` or `{log: [a, b]}`: one number."""

    low: float
    high: float
    log: bool = False

    def coordinates(self, path: str) -> tuple[Coordinate, ...]:
        """One coordinate: the number itself."""
        return (Coordinate(path, Float(self.low, self.high, self.log)),)

    def decode(self, raw: Sequence[Any]) -> float:
        """The number."""
        return float(raw[0])

    def encode(self, value: Any) -> tuple[Raw, ...]:
        """The number, if it lies in the range."""
        return (within(value, self.low, self.high),)


@dataclass(frozen=True, slots=True)
class IntRange:
    """`{int: [a, b]}`, with `log: true` evenly spread in the logarithm: one whole number."""

    low: int
    high: int
    log: bool = False

    def coordinates(self, path: str) -> tuple[Coordinate, ...]:
        """One coordinate: the number itself."""
        return (Coordinate(path, Int(self.low, self.high, self.log)),)

    def decode(self, raw: Sequence[Any]) -> int:
        """The number."""
        return int(raw[0])

    def encode(self, value: Any) -> tuple[Raw, ...]:
        """The number, if it is whole and lies in the range."""
        number = within(value, self.low, self.high)
        if number != int(number):
            raise Outside(f"{value} is not a whole number")
        return (int(number),)


@dataclass(frozen=True, slots=True)
class Choice:
    """`{choice: [...]}`: one of some JSON values; lists and mappings reach the sampler as their JSON text."""

    values: tuple[Any, ...]
    labels: tuple[Raw, ...] = field(init=False, compare=False, repr=False)
    """What a sampler knows the values by."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", _labels(self.values))

    def coordinates(self, path: str) -> tuple[Coordinate, ...]:
        """One coordinate: the value, or its label."""
        return (Coordinate(path, Categorical(self.labels)),)

    def decode(self, raw: Sequence[Any]) -> Any:
        """The value of the label."""
        return self.values[self.labels.index(raw[0])]

    def encode(self, value: Any) -> tuple[Raw, ...]:
        """The label of the value."""
        place = place_of(value, self.values)
        if place is None:
            raise Outside(f"{as_text(value)} is not one of {listed(self.values)}")
        return (self.labels[place],)


def _labels(values: tuple[Any, ...]) -> tuple[Raw, ...]:
    scalar = all(value is None or isinstance(value, str | int | float) for value in values)
    # Samplers find a choice by ==, which cannot tell 1 from True.
    if scalar and len(set(values)) == len(values):
        return values
    return tuple(as_text(value) for value in values)


def same(a: Any, b: Any) -> bool:
    """Equal as JSON values: 1 equals 1.0 but not true; a tuple equals a list."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, str | int | float) or isinstance(b, str | int | float):
        return bool(a == b)
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def among(value: Any, values: Sequence[Any]) -> bool:
    """Whether one of the values is the `same`."""
    return place_of(value, values) is not None


def place_of(value: Any, values: Sequence[Any]) -> int | None:
    """Which of the values is the `same`; None when none is."""
    if isinstance(value, str | int | float):  # many times quicker than asking each; takes 1 for True
        found = values.index(value) if value in values else None
        if found is None or not (isinstance(value, bool) or isinstance(values[found], bool)):
            return found
    return next((i for i, one in enumerate(values) if same(value, one)), None)


def as_text(value: Any) -> str:
    """A value as a person would write it in a space file."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def listed(values: Sequence[Any]) -> str:
    """Values as a person would name them: all of a few, the first of many."""
    named = ", ".join(as_text(value) for value in values[:LISTED])
    return named if len(values) <= LISTED else f"{named} and {len(values) - LISTED} more"


def within(value: Any, low: float, high: float, name: str = "") -> float:
    """The value as a number of the range. Raises `Outside` when it is none; rounding of decimal text is forgiven."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Outside(f"{name}{as_text(value)} is not a number")
    slack = ROUNDING * (high - low)
    if not low - slack <= value <= high + slack:
        raise Outside(f"{name}{value:g} is outside {low:g} to {high:g}")
    return clip(value, low, high)


def clip(value: float, low: float, high: float) -> float:
    """The nearest number between `low` and `high`."""
    return min(max(value, low), high)


def _log_between(low: float, high: float, share: float) -> float:
    return float(low ** (1 - share) * high**share)
