"""What each term counts in a step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from core.config import WeightingMethod, WeightingOptions
from core.losses.scale import FirstAverage
from core.losses.surgery import Surgery
from core.losses.weighting import DynamicAverage, Famo, Fixed, GradientNorm, Needs, Uncertainty

WEIGHTINGS: Final[Mapping[WeightingMethod, Callable[[WeightingOptions], Fixed]]] = {
    "fixed": Fixed,
    "uncertainty": Uncertainty,
    "dynamic_average": DynamicAverage,
    "famo": Famo,
    "gradient_norm": GradientNorm,
    "pcgrad": Surgery,
    "mgda": Surgery,
    "imtl_g": Surgery,
    "aligned_mtl": Surgery,
}
"""Every weighting of the terms, by name."""


def refuse_signed(options: WeightingOptions, signed: Sequence[str]) -> None:
    """Raise ValueError when losses that can be negative (`signed`) are to be weighted by what needs positive ones."""
    if not signed:
        return
    if WEIGHTINGS[options.method](options).positive_only:
        raise ValueError(f"weighting {options.method} needs losses above 0; {', '.join(signed)} can be negative")
    if options.normalise == "first":
        raise ValueError(f"a loss that can be negative has no size to be normalised by: {', '.join(signed)}")


class StepWeights:
    """A term's fixed weight, over its first average where losses are normalised, times what the method finds.

    Gradient surgery combines the gradients of the losses so weighted; the other methods' factors multiply.
    """

    def __init__(self, fixed: Mapping[Any, float], options: WeightingOptions) -> None:
        self.fixed = dict(fixed)
        self.method: Fixed = WEIGHTINGS[options.method](options)
        self.first = FirstAverage() if options.normalise == "first" else None
        self.factors: Mapping[Any, float] = {}
        """Term -> what a phase multiplies its fixed weight by at the moment; 1 where it is missing."""

    @property
    def needs(self) -> Needs:
        """What must be seen of a step."""
        return self.method.needs

    @property
    def change(self) -> bool:
        """Whether they are other than the fixed ones at any time."""
        return self.first is not None or type(self.method) is not Fixed

    def on(self, terms: Iterable[Any]) -> tuple[Any, ...]:
        """Those of `terms` that have a weight above 0 at the moment."""
        return tuple(term for term in terms if self._now(term) > 0)

    def unknown(self, terms: Iterable[Any]) -> list[Any]:
        """Terms whose loss must be looked at before they can be weighted."""
        return [] if self.first is None else self.first.unknown(terms)

    def look(self, losses: Mapping[Any, float]) -> None:
        """The losses of `unknown` terms that have labels in the step to come."""
        if self.first is not None:
            self.first.look(losses)

    def of(self, terms: Sequence[Any], losses: Mapping[Any, float]) -> dict[Any, float]:
        """Term -> what its loss is multiplied by; `losses` is read by a method that needs losses."""
        factors = self.method.factors(terms, self._normalised(losses))
        return {term: self._now(term) * factors[term] / self._divisor(term) for term in terms}

    def combine(self, gramian: Sequence[Sequence[float]]) -> list[float]:
        """Factor of each weighted term's gradient on the shared part, from their inner products."""
        return self.method.combine(gramian) if isinstance(self.method, Surgery) else [1.0] * len(gramian)

    def learn(self, losses: Mapping[Any, float], seen: Mapping[Any, float]) -> None:
        """Take note of a step that was taken, see `Fixed.learn`; terms without labels in it are in neither."""
        if losses and self.change:
            self.method.learn(self._normalised(losses), self._normalised(seen))
            if self.first is not None:
                self.first.learn(losses)

    def epoch_ended(self) -> None:
        """Take note that an epoch is over."""
        self.method.epoch_ended()
        if self.first is not None:
            self.first.epoch_ended()

    def state(self) -> dict[str, Any]:
        """All that `restore` needs, ready for JSON; asked for between epochs."""
        return {"method": self.method.state(), "first": {} if self.first is None else self.first.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        if self.method.state():
            self.method.restore(state["method"])
        if self.first is not None:
            self.first.restore(state["first"])

    def _now(self, term: Any) -> float:
        return float(self.fixed[term] * self.factors.get(term, 1.0))

    def _divisor(self, term: Any) -> float:
        return 1.0 if self.first is None else self.first.divisor(term)

    def _normalised(self, values: Mapping[Any, float]) -> dict[Any, float]:
        return {term: value / self._divisor(term) for term, value in values.items()}
