"""The searched space: paths, distributions, conditions, and their bijection with a box of coordinates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any, Literal

from abr_tune.plan.distributions import Categorical, Coordinate, Distribution, Float, Int, Outside, Raw, among

__all__ = [
    "Categorical",
    "Condition",
    "Confidence",
    "Coordinate",
    "Float",
    "Guess",
    "Int",
    "OutsideSpace",
    "Parameter",
    "Raw",
    "Space",
]


class OutsideSpace(ValueError):
    """A configuration the sampler could not have proposed; `reasons` has one sentence per path."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__(tuple(reasons))

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why, path by path."""
        reasons: tuple[str, ...] = self.args[0]
        return reasons

    def __str__(self) -> str:
        return "; ".join(self.reasons)


@dataclass(frozen=True, slots=True)
class Condition:
    """`when: {path: [values]}`: true while `path` is active itself and has one of `values`."""

    path: str
    values: tuple[Any, ...]

    def holds(self, chosen: Mapping[str, Any]) -> bool:
        """Whether it is true of the values chosen so far; an inactive path is not among them."""
        return self.path in chosen and among(chosen[self.path], self.values)


Confidence = Literal["low", "medium", "high"]


@dataclass(frozen=True, slots=True)
class Guess:
    """Where somebody expects the best value of a path to lie, and how sure they are."""

    value: Any
    """As the training options take it; inside the distribution."""
    confidence: Confidence = "medium"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One searched path."""

    path: str
    distribution: Distribution
    when: tuple[Condition, ...] = ()
    """All must hold for the path to be searched; otherwise its default or fixed value stands."""
    guess: Guess | None = None
    points: int | None = None
    """How many values along each coordinate a grid tries; None: all there are, which a range of numbers has not."""


@dataclass(frozen=True, slots=True)
class Space:
    """The searched paths, in an order in which every condition comes before what depends on it.

    Raises `graphlib.CycleError` when conditions depend on one another in a circle.
    """

    parameters: tuple[Parameter, ...] = ()
    coordinates: tuple[Coordinate, ...] = field(init=False, compare=False)
    """The box samplers see: all sides, those of conditional paths included."""

    def __post_init__(self) -> None:
        ordered = _by_dependency(self.parameters)
        object.__setattr__(self, "parameters", ordered)
        coordinates = tuple(side for item in ordered for side in item.distribution.coordinates(item.path))
        object.__setattr__(self, "coordinates", coordinates)

    @property
    def paths(self) -> tuple[str, ...]:
        """The searched paths."""
        return tuple(parameter.path for parameter in self.parameters)

    @property
    def guesses(self) -> dict[str, tuple[Raw, Confidence]]:
        """Coordinate name -> where it is expected to be best, and how surely; only of paths with a guess."""
        return {
            side.name: (raw, item.guess.confidence)
            for item in self.parameters
            if item.guess is not None
            for side, raw in zip(
                item.distribution.coordinates(item.path), item.distribution.encode(item.guess.value), strict=True
            )
        }

    def propose(self, suggest: Callable[[Coordinate], Any]) -> dict[str, Any]:
        """Path -> value, as the training options take them; inactive paths are neither asked for nor present.

        `suggest` is called once for each active coordinate, in dependency order, with a value of its domain to return.
        A finished trial is read back the same way: `propose(lambda side: params[side.name])`.
        """
        chosen: dict[str, Any] = {}
        for parameter in self.parameters:
            if all(condition.holds(chosen) for condition in parameter.when):
                sides = parameter.distribution.coordinates(parameter.path)
                chosen[parameter.path] = parameter.distribution.decode([suggest(side) for side in sides])
        return chosen

    def encode(self, values: Mapping[str, Any]) -> dict[str, Raw]:
        """Coordinate name -> raw value from which `propose` makes `values`; values of inactive paths are ignored.

        Raises `OutsideSpace` when a value lies outside its distribution, an active path has none, or a path is not
        searched.
        """
        reasons = [f"{path} is not searched" for path in values if path not in self.paths]
        raw: dict[str, Raw] = {}
        active: dict[str, Any] = {}
        for parameter in self.parameters:
            if not all(condition.holds(active) for condition in parameter.when):
                continue
            if parameter.path not in values:
                reasons.append(f"{parameter.path} has no value")
                continue
            value = active[parameter.path] = values[parameter.path]
            try:
                encoded = parameter.distribution.encode(value)
            except Outside as outside:
                reasons.append(f"{parameter.path}: {outside}")
                continue
            sides = parameter.distribution.coordinates(parameter.path)
            raw.update((side.name, part) for side, part in zip(sides, encoded, strict=True))
        if reasons:
            raise OutsideSpace(reasons)
        return raw


def _by_dependency(parameters: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
    by_path = {parameter.path: parameter for parameter in parameters}
    graph = {item.path: [one.path for one in item.when if one.path in by_path] for item in parameters}
    return tuple(by_path[path] for path in TopologicalSorter(graph).static_order())
