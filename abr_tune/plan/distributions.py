"""Distributions of searched values, each in bijection with a box, so that samplers never see a constraint.

Ordered values and shares are made from the order statistics of independent uniform numbers (Devroye, Non-Uniform
Random Variate Generation, 1986, chapter V.2-3): uniform coordinates give values uniform over the allowed region, and
no proposal is ever rejected.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Raw = str | int | float | bool | None
"""What a sampler deals in: one number or label per coordinate."""

ROUNDING = 1e-9
"""Share of a range by which a value may lie outside it, for values that went through decimal text."""


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
            return _clip(_log_between(domain.low, domain.high, share), domain.low, domain.high)
        return _clip(domain.low + (domain.high - domain.low) * share, domain.low, domain.high)


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
        return (_within(value, self.low, self.high),)


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
        number = _within(value, self.low, self.high)
        if number != int(number):
            raise Outside(f"{value} is not a whole number")
        return (int(number),)


@dataclass(frozen=True, slots=True)
class Choice:
    """`{choice: [...]}`: one of some JSON values; lists and mappings reach the sampler as their JSON text."""

    values: tuple[Any, ...]

    def coordinates(self, path: str) -> tuple[Coordinate, ...]:
        """One coordinate: the value, or its label."""
        return (Coordinate(path, Categorical(self._labels())),)

    def decode(self, raw: Sequence[Any]) -> Any:
        """The value of the label."""
        labels = self._labels()
        return self.values[next(i for i, label in enumerate(labels) if same(label, raw[0]))]

    def encode(self, value: Any) -> tuple[Raw, ...]:
        """The label of the value."""
        for label, known in zip(self._labels(), self.values, strict=True):
            if same(known, value):
                return (label,)
        raise Outside(f"{as_text(value)} is not one of {', '.join(as_text(known) for known in self.values)}")

    def _labels(self) -> tuple[Raw, ...]:
        scalar = all(value is None or isinstance(value, str | int | float) for value in self.values)
        # Samplers find a choice by ==, which cannot tell 1 from True.
        if scalar and len(set(self.values)) == len(self.values):
            return self.values
        return tuple(as_text(value) for value in self.values)


@dataclass(frozen=True, slots=True)
class OrderedPair:
    """`{ordered: {low: [a, b], high: [c, d]}}`: a value `{low, high}` with low <= high, uniform over that region."""

    low: tuple[float, float]
    high: tuple[float, float]

    def __post_init__(self) -> None:
        if self.low[0] >= self.high[1]:
            raise ValueError("low cannot lie below high")

    @property
    def overlaps(self) -> bool:
        """Whether low could exceed high if both were drawn freely."""
        return self.low[1] > self.high[0]

    def coordinates(self, path: str) -> tuple[Coordinate, ...]:
        """Both numbers themselves; where their ranges overlap, two shares of the ordered region."""
        if self.overlaps:
            return Coordinate(f"{path}.low:share", Float(0.0, 1.0)), Coordinate(f"{path}.high:share", Float(0.0, 1.0))
        return Coordinate(f"{path}.low", Float(*self.low)), Coordinate(f"{path}.high", Float(*self.high))

    def decode(self, raw: Sequence[Any]) -> dict[str, float]:
        """The pair."""
        first, second = float(raw[0]), float(raw[1])
        if not self.overlaps:
            return {"low": first, "high": second}
        low = self._low_at(first)
        floor, ceiling = self._high_range(low)
        return {"low": low, "high": _clip(floor + (ceiling - floor) * second, floor, ceiling)}

    def encode(self, value: Any) -> tuple[Raw, ...]:
        """The coordinates of a pair."""
        if not isinstance(value, Mapping) or set(value) != {"low", "high"}:
            raise Outside(f"{as_text(value)} is not a pair of low and high")
        low, high = _within(value["low"], *self.low, "low "), _within(value["high"], *self.high, "high ")
        if low > high:
            raise Outside(f"low {low:g} is above high {high:g}")
        if not self.overlaps:
            return low, high
        floor, ceiling = self._high_range(low)
        return self._area_below(low) / self._area_below(self._top), _share(high - floor, ceiling - floor)

    @property
    def _top(self) -> float:
        """Largest low that leaves room for high."""
        return min(self.low[1], self.high[1])

    def _high_range(self, low: float) -> tuple[float, float]:
        return max(self.high[0], low), self.high[1]

    def _area_below(self, low: float) -> float:
        """Area of the ordered region left of `low`: a rectangle up to high's floor, a trapezium beyond it."""
        (start, _), (floor, ceiling) = self.low, self.high
        rectangle = max(0.0, min(low, floor) - start) * (ceiling - floor)
        bend = max(start, floor)
        return rectangle + (max(0.0, low - bend) * (2 * ceiling - bend - max(low, bend))) / 2

    def _low_at(self, share: float) -> float:
        """Inverse of `_area_below`, as a share of the whole region."""
        (start, _), (floor, ceiling) = self.low, self.high
        bend = max(start, floor)
        area, rectangle = share * self._area_below(self._top), self._area_below(bend)
        if area <= rectangle:
            return _clip(start + area / (ceiling - floor), start, self._top)
        # The trapezium from bend to low has area ((ceiling - bend)^2 - (ceiling - low)^2) / 2.
        return _clip(ceiling - math.sqrt(max(0.0, (ceiling - bend) ** 2 - 2 * (area - rectangle))), start, self._top)


@dataclass(frozen=True, slots=True)
class OrderedList:
    """`{ordered: {count: k, within: [a, b]}}`: k increasing numbers, uniform over all such lists."""

    count: int
    within: tuple[float, float]

    def coordinates(self, path: str) -> tuple[Coordinate, ...]:
        """As many shares: how far each number lies between the one before it and the end."""
        return tuple(Coordinate(f"{path}[{i}]:share", Float(0.0, 1.0)) for i in range(1, self.count + 1))

    def decode(self, raw: Sequence[Any]) -> list[float]:
        """The numbers."""
        low, high = self.within
        return [_clip(low + (high - low) * share, low, high) for share in _increasing(raw)]

    def encode(self, value: Any) -> tuple[Raw, ...]:
        """The coordinates of increasing numbers."""
        if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != self.count:
            raise Outside(f"{as_text(value)} is not a list of {self.count} numbers")
        low, high = self.within
        numbers = [_within(number, low, high) for number in value]
        if numbers != sorted(numbers):
            raise Outside(f"{as_text(value)} does not increase")
        return _shares_of([(number - low) / (high - low) for number in numbers])


@dataclass(frozen=True, slots=True)
class Simplex:
    """`{simplex: [names]}`: a value `{name: share}` whose shares sum to one, uniform over all such values."""

    names: tuple[str, ...]

    def coordinates(self, path: str) -> tuple[Coordinate, ...]:
        """One coordinate for every name but the last."""
        return tuple(Coordinate(f"{path}.{name}:share", Float(0.0, 1.0)) for name in self.names[:-1])

    def decode(self, raw: Sequence[Any]) -> dict[str, float]:
        """The shares: the gaps between the order statistics of uniform numbers."""
        cuts = [0.0, *_increasing(raw), 1.0]
        return {name: cuts[i + 1] - cuts[i] for i, name in enumerate(self.names)}

    def encode(self, value: Any) -> tuple[Raw, ...]:
        """The coordinates of shares."""
        if not isinstance(value, Mapping) or set(value) != set(self.names):
            raise Outside(f"{as_text(value)} does not name exactly {', '.join(self.names)}")
        shares = [_within(value[name], 0.0, 1.0, f"{name} ") for name in self.names]
        if not math.isclose(sum(shares), 1.0, rel_tol=0, abs_tol=1e-6):
            raise Outside(f"the shares sum to {sum(shares):g}, not to 1")
        total, cuts = sum(shares), [0.0]
        for share in shares[:-1]:
            cuts.append(min(1.0, cuts[-1] + share / total))
        return _shares_of(cuts[1:])


def same(a: Any, b: Any) -> bool:
    """Equal as JSON values: 1 equals 1.0 but not true; a tuple equals a list."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def as_text(value: Any) -> str:
    """A value as a person would write it in a space file."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _increasing(shares: Sequence[Any]) -> list[float]:
    """Increasing numbers in [0, 1] from independent ones: the order statistics, smallest first."""
    numbers, last = [], 0.0
    for left, share in zip(range(len(shares), 0, -1), shares, strict=True):
        last = min(1.0, last + (1.0 - last) * -math.expm1(math.log1p(-share) / left) if share < 1 else 1.0)
        numbers.append(last)
    return numbers


def _shares_of(numbers: Sequence[float]) -> tuple[float, ...]:
    """Inverse of `_increasing`."""
    shares, last = [], 0.0
    for left, number in zip(range(len(numbers), 0, -1), numbers, strict=True):
        gap = min(1.0, _share(number - last, 1.0 - last))
        shares.append(-math.expm1(left * math.log1p(-gap)) if gap < 1 else 1.0)
        last = number
    return tuple(shares)


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def _within(value: Any, low: float, high: float, name: str = "") -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Outside(f"{name}{as_text(value)} is not a number")
    slack = ROUNDING * (high - low)
    if not low - slack <= value <= high + slack:
        raise Outside(f"{name}{value:g} is outside {low:g} to {high:g}")
    return _clip(value, low, high)


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _log_between(low: float, high: float, share: float) -> float:
    return math.exp(math.log(low) + (math.log(high) - math.log(low)) * share)
