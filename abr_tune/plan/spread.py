"""What may stand under a searched path: one section per distribution."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from abr_tune.plan.distributions import Choice, Distribution, IntRange, Range, as_text, same
from abr_tune.plan.ordered import OrderedList, OrderedPair, Simplex
from abr_tune.plan.schema import Section
from abr_tune.plan.space import Confidence

MOST_CHOICES: Final = 256
"""Values of a choice; among more of them no search learns anything."""
LARGEST: Final = 2**53
"""Whole numbers up to here are exact in every storage."""


def _grows(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] >= ends[1]:
        raise ValueError(f"the range is empty: it goes from {ends[0]:g} to {ends[1]:g}")
    return ends


Positive = Annotated[float, Field(gt=0, le=1e100, allow_inf_nan=False)]
Countable = Annotated[float, Field(ge=-1e100, le=1e100, allow_inf_nan=False)]
"""Numbers whose squares are finite too."""
Ends = Annotated[tuple[Countable, Countable], AfterValidator(_grows)]
PositiveEnds = Annotated[tuple[Positive, Positive], AfterValidator(_grows)]
Points = Annotated[int, Field(ge=1, le=10_000)]
Exact = Annotated[int, Field(ge=-LARGEST, le=LARGEST)]
WholeEnds = Annotated[tuple[Exact, Exact], AfterValidator(_grows)]


def _pair_or_list(value: Any) -> str:
    return "list" if isinstance(value, dict) and {"count", "within"} & value.keys() else "pair"


class Searched(Section):
    """How the values of one searched path are spread."""

    when: Annotated[dict[str, Any], Field(default_factory=dict)]
    """Searched only while these other searched paths have these values: `{path: value}` or `{path: [values]}`."""
    guess: Any = None
    """Where you expect the best value to lie; it must be one that can be proposed."""
    confidence: Confidence = "medium"
    """How sure you are of the guess: the surer, the longer the sampler stays near it."""

    def distribution(self) -> Distribution:
        """The distribution the section describes."""
        raise NotImplementedError


class Uniform(Searched):
    """Numbers spread evenly between two ends."""

    uniform: Ends
    """`[low, high]`."""
    points: Points | None = None
    """How many values of the range the grid sampler tries; the others ignore it."""

    def distribution(self) -> Distribution:
        """A range."""
        return Range(*self.uniform)


class Log(Searched):
    """Numbers spread evenly in the logarithm."""

    log: PositiveEnds
    """`[low, high]`, both above 0."""
    points: Points | None = None
    """How many values of the range the grid sampler tries; the others ignore it."""

    def distribution(self) -> Distribution:
        """A logarithmic range."""
        return Range(*self.log, log=True)


class Whole(Searched):
    """Whole numbers."""

    whole: WholeEnds = Field(alias="int")
    """`[low, high]`, both included."""
    log: bool = False
    """Spread evenly in the logarithm."""
    points: Points | None = None
    """How many of the values the grid sampler tries; all of them when omitted."""

    @model_validator(mode="after")
    def _log_from_one(self) -> Self:
        if self.log and self.whole[0] < 1:
            raise ValueError(f"with log the range must begin at 1 or above, not at {self.whole[0]}")
        return self

    def distribution(self) -> Distribution:
        """A range of whole numbers."""
        return IntRange(*self.whole, log=self.log)


class OneOf(Searched):
    """One of the listed values."""

    choice: Annotated[list[Any], Field(min_length=1, max_length=MOST_CHOICES)]
    """The values: numbers, texts, null, lists or mappings."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        texts = [as_text(value) if not isinstance(value, str) else f'"{value}"' for value in self.choice]
        twice = next((text for text, times in Counter(texts).items() if times > 1), None)
        if twice is not None:
            raise ValueError(f"the choice names {twice} twice")
        if any(not same(value, value) for value in self.choice):
            raise ValueError("the choice names NaN, which is no number and equals nothing")
        return self

    def distribution(self) -> Distribution:
        """A choice."""
        return Choice(tuple(self.choice))


class PairEnds(Section):
    """A pair `{low, high}` with low <= high."""

    low: Ends
    """Range of the lower number."""
    high: Ends
    """Range of the higher number."""

    @model_validator(mode="after")
    def _can_be_ordered(self) -> Self:
        if self.low[0] >= self.high[1]:
            raise ValueError(f"low begins at {self.low[0]:g}, above the end of high at {self.high[1]:g}")
        return self


class ListEnds(Section):
    """A list of increasing numbers."""

    count: Annotated[int, Field(ge=1, le=64)]
    """How many."""
    within: Ends
    """Between which ends."""


class Ordered(Searched):
    """Values that keep an order by construction."""

    ordered: Annotated[
        Annotated[PairEnds, Tag("pair")] | Annotated[ListEnds, Tag("list")], Discriminator(_pair_or_list)
    ]
    """`{low: [a, b], high: [c, d]}` for a pair, `{count: k, within: [a, b]}` for a list."""
    points: Points | None = None
    """How many values along each of its numbers the grid sampler tries; the others ignore it."""

    def distribution(self) -> Distribution:
        """An ordered pair or list."""
        ends = self.ordered
        return OrderedPair(ends.low, ends.high) if isinstance(ends, PairEnds) else OrderedList(ends.count, ends.within)


class Shares(Searched):
    """Shares of the named options of a group that sum to one."""

    simplex: Annotated[list[str], Field(min_length=2, max_length=64)]
    """Names of the options."""
    points: Points | None = None
    """How many values along each of its shares but the last the grid sampler tries; the others ignore it."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.simplex)) < len(self.simplex):
            raise ValueError("a name stands here twice")
        return self

    def distribution(self) -> Distribution:
        """A simplex."""
        return Simplex(tuple(self.simplex))


DISTRIBUTIONS: Final[Mapping[str, type[Searched]]] = {
    "uniform": Uniform,
    "log": Log,
    "int": Whole,
    "choice": OneOf,
    "ordered": Ordered,
    "simplex": Shares,
}
"""The key that says how values are spread, and what belongs to it."""

BESIDE: Final = frozenset(
    field.alias or name for kind in DISTRIBUTIONS.values() for name, field in kind.model_fields.items()
) - set(DISTRIBUTIONS)
"""The keys that may stand beside it."""
