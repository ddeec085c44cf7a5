"""Distributions of several numbers that hold a constraint by construction: an order, or a sum of one.

They are made from the order statistics of independent uniform numbers (Devroye, Non-Uniform Random Variate
Generation, 1986, chapter V.2-3): uniform coordinates give values uniform over the allowed region, and no proposal is
ever rejected.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from abr_tune.plan.distributions import Coordinate, Float, Outside, Raw, as_text, clip, within


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
        return {"low": low, "high": clip(floor + (ceiling - floor) * second, floor, ceiling)}

    def encode(self, value: Any) -> tuple[Raw, ...]:
        """The coordinates of a pair."""
        if not isinstance(value, Mapping) or set(value) != {"low", "high"}:
            raise Outside(f"{as_text(value)} is not a pair of low and high")
        low, high = within(value["low"], *self.low, "low "), within(value["high"], *self.high, "high ")
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
            return clip(start + area / (ceiling - floor), start, self._top)
        # The trapezium from bend to low has area ((ceiling - bend)^2 - (ceiling - low)^2) / 2.
        return clip(ceiling - math.sqrt(max(0.0, (ceiling - bend) ** 2 - 2 * (area - rectangle))), start, self._top)


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
        return [clip(low + (high - low) * share, low, high) for share in _increasing(raw)]

    def encode(self, value: Any) -> tuple[Raw, ...]:
        """The coordinates of increasing numbers."""
        if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != self.count:
            raise Outside(f"{as_text(value)} is not a list of {self.count} numbers")
        low, high = self.within
        numbers = [within(number, low, high) for number in value]
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
        shares = [within(value[name], 0.0, 1.0, f"{name} ") for name in self.names]
        if not math.isclose(sum(shares), 1.0, rel_tol=0, abs_tol=1e-6):
            raise Outside(f"the shares sum to {sum(shares):g}, not to 1")
        total, cuts = sum(shares), [0.0]
        for share in shares[:-1]:
            cuts.append(min(1.0, cuts[-1] + share / total))
        return _shares_of(cuts[1:])


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
