"""How loss terms are weighted against one another while they are trained: plain numbers in, plain numbers out.

A weighting sees what one optimiser step saw (losses, gradient norms or inner products by term) and says by which factor
each term counts. Its scale is that of `fixed`: terms that are alike in all it looks at have the factor 1. What it has
learnt is JSON: `state` and `restore`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Final, Literal

from core.config import WeightingOptions

Needs = Literal["nothing", "losses", "norms", "gradients"]
"""What a weighting must see of a step. nothing: its factors are known before the step; losses: the step's losses, and
again after it; norms: the terms' gradient norms, after the step; gradients: their inner products, before the step."""

EPSILON: Final = 1e-8
"""Keeps logarithms and quotients of losses finite (the published code of FAMO has the same)."""
FAMO_DECAY: Final = 1e-3
"""Pulls the logits of FAMO back to 0 (algorithm 2 of the paper)."""
FAR: Final = 20.0
"""Learnt logarithms of factors are read within +-20: a rate far too high makes useless factors, not infinite ones."""
FASTEST: Final = 1e3
"""Largest ratio of two epochs' losses that is told apart from larger ones."""


@dataclass(slots=True)
class Adam:
    """Adam, Kingma & Ba 2015 (1412.6980), on a few numbers by name; a name begins at 0 when it is first seen."""

    values: dict[str, float] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    second: dict[str, float] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)

    def of(self, name: str) -> float:
        """The value under a name."""
        return self.values.get(name, 0.0)

    def step(self, slopes: Mapping[str, float], *, rate: float, decay: float = 0.0) -> None:
        """Move the named values against their slopes."""
        for name, slope in slopes.items():
            pulled = slope + decay * self.of(name)
            count = self.steps[name] = self.steps.get(name, 0) + 1
            mean = self.first[name] = 0.9 * self.first.get(name, 0.0) + 0.1 * pulled
            square = self.second[name] = 0.999 * self.second.get(name, 0.0) + 0.001 * pulled**2
            size = math.sqrt(square / (1 - 0.999**count)) + EPSILON
            self.values[name] = self.of(name) - rate * mean / (1 - 0.9**count) / size


class Fixed:
    """Every term counts as `loss.weights` says; the others build on this."""

    needs: ClassVar[Needs] = "nothing"
    positive_only: ClassVar[bool] = False
    """Whether it makes no sense for losses that can be negative, such as a likelihood."""

    def __init__(self, options: WeightingOptions) -> None:
        self.options = options

    def factors(self, terms: Sequence[str], seen: Mapping[str, float]) -> dict[str, float]:
        """Term -> factor in this step; `seen` holds losses by term where `needs` is losses, else nothing."""
        return dict.fromkeys(terms, 1.0)

    def learn(self, before: Mapping[str, float], seen: Mapping[str, float]) -> None:
        """Take note of a step that was taken.

        `before` holds the losses of the terms that had labels in it; `seen` holds, as `needs` says, the same losses
        after the step or the norms of the unweighted gradients.
        """

    def epoch_ended(self) -> None:
        """Take note that an epoch is over."""

    def state(self) -> dict[str, Any]:
        """All that `restore` needs, ready for JSON."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""


class Uncertainty(Fixed):
    """Learned uncertainty, Kendall et al. 2018 (1705.07115).

        sum_i exp(-s_i) L_i + s_i

    s_i is the log-variance of term i; the sum is twice the paper's, so that all factors begin at 1. Its minimum over
    s_i lies at exp(s_i) = L_i: a term counts by one over its loss, and a negative loss has no minimum.
    """

    positive_only = True

    def __init__(self, options: WeightingOptions) -> None:
        super().__init__(options)
        self.log_variance = Adam()

    def factors(self, terms: Sequence[str], seen: Mapping[str, float]) -> dict[str, float]:
        """exp(-s)."""
        return {term: math.exp(min(FAR, max(-FAR, -self.log_variance.of(term)))) for term in terms}

    def learn(self, before: Mapping[str, float], seen: Mapping[str, float]) -> None:
        """The slope of the sum along s is 1 - exp(-s) L."""
        factor = self.factors(list(before), {})
        self.log_variance.step({term: 1 - factor[term] * loss for term, loss in before.items()}, rate=self.options.rate)

    def state(self) -> dict[str, Any]:
        """Log-variances and moments."""
        return asdict(self.log_variance)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Log-variances and moments."""
        self.log_variance = Adam(**state)


class DynamicAverage(Fixed):
    """Dynamic weight average, Liu et al. 2019 (1803.10704).

        n softmax(r_i / T),  r_i = L_i(epoch - 1) / L_i(epoch - 2)

    L_i(epoch) is the mean over its steps, T the temperature. A term with fewer than two epochs behind it has r = 1.
    """

    positive_only = True

    def __init__(self, options: WeightingOptions) -> None:
        super().__init__(options)
        self.now: dict[str, list[float]] = {}
        self.past: dict[str, list[float]] = {}

    def factors(self, terms: Sequence[str], seen: Mapping[str, float]) -> dict[str, float]:
        """The softmax above."""
        return _softmax({term: self._rate(term) / self.options.temperature for term in terms})

    def learn(self, before: Mapping[str, float], seen: Mapping[str, float]) -> None:
        """Count the step into the epoch's mean."""
        for term, loss in before.items():
            total, count = self.now.get(term, (0.0, 0))
            self.now[term] = [total + loss, count + 1]

    def epoch_ended(self) -> None:
        """Keep the last two means."""
        for term, (total, count) in self.now.items():
            self.past[term] = [*self.past.get(term, []), total / count][-2:]
        self.now = {}

    def state(self) -> dict[str, Any]:
        """The last two means, and what has been counted since."""
        return {"now": self.now, "past": self.past}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The last two means, and what has been counted since."""
        self.now, self.past = dict(state["now"]), dict(state["past"])

    def _rate(self, term: str) -> float:
        past = self.past.get(term, [])
        return min(FASTEST, past[1] / (past[0] + EPSILON)) if len(past) == 2 else 1.0


class Famo(Fixed):
    """Fast adaptive multitask optimisation, Liu et al. 2023 (2306.03792): all losses fall by the same share.

        sum_i c z_i log L_i,  z = softmax(w),  c = 1 / sum_i (z_i / L_i), times n to begin at the scale of fixed

    w is moved by Adam against the slope of sum_i z_i (log L_i before the step - log L_i after it).
    """

    needs = "losses"
    positive_only = True

    def __init__(self, options: WeightingOptions) -> None:
        super().__init__(options)
        self.logits = Adam()

    def factors(self, terms: Sequence[str], seen: Mapping[str, float]) -> dict[str, float]:
        """The slope of the sum along each loss; terms that are not seen have no labels in this step."""
        share = _softmax({term: self.logits.of(term) for term in seen})
        pull = {term: share[term] / (loss + EPSILON) for term, loss in seen.items()}
        total = sum(pull.values())
        return dict.fromkeys(terms, 1.0) | {term: len(pull) * value / total for term, value in pull.items()}

    def learn(self, before: Mapping[str, float], seen: Mapping[str, float]) -> None:
        """One step of the logits."""
        fall = {term: math.log(loss + EPSILON) - math.log(seen[term] + EPSILON) for term, loss in before.items()}
        scaled = _softmax({term: self.logits.of(term) for term in fall})
        share = {term: value / len(fall) for term, value in scaled.items()}
        mean = sum(share[term] * fall[term] for term in fall)
        slopes = {term: share[term] * (fall[term] - mean) for term in fall}
        self.logits.step(slopes, rate=self.options.rate, decay=FAMO_DECAY)

    def state(self) -> dict[str, Any]:
        """Logits and moments."""
        return asdict(self.logits)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Logits and moments."""
        self.logits = Adam(**state)


class GradientNorm(Fixed):
    """GradNorm, Chen et al. 2018 (1711.02257): the terms' gradients are brought to a common size.

        minimise over w: sum_i |w_i g_i - m (r_i / mean r)^a|,  r_i = L_i / L_i(first),  m = mean of w_i g_i, held fixed

    g_i is the norm of the term's gradient on the last shared layer, a how strongly terms that lag behind are favoured.
    The weights are n softmax(u), which keeps them positive and their sum n; the paper renormalises for the same end.
    """

    needs = "norms"
    positive_only = True

    def __init__(self, options: WeightingOptions) -> None:
        super().__init__(options)
        self.logits = Adam()
        self.first: dict[str, float] = {}

    def factors(self, terms: Sequence[str], seen: Mapping[str, float]) -> dict[str, float]:
        """The softmax above."""
        return _softmax({term: self.logits.of(term) for term in terms})

    def learn(self, before: Mapping[str, float], seen: Mapping[str, float]) -> None:
        """One step of u."""
        for term, loss in before.items():
            self.first.setdefault(term, loss)
        weight = self.factors(list(before), {})
        size = {term: weight[term] * seen[term] for term in before}
        common = sum(size.values()) / len(size)
        lag = {term: loss / (self.first[term] + EPSILON) for term, loss in before.items()}
        usual = sum(lag.values()) / len(lag) + EPSILON
        pull = {
            term: math.copysign(seen[term], size[term] - common * (lag[term] / usual) ** self.options.restoring)
            for term in before
        }
        # Through the softmax: dw_i / du_j = w_i (1[i = j] - w_j / n).
        together = sum(pull[term] * weight[term] for term in before) / len(before)
        slopes = {term: weight[term] * (pull[term] - together) for term in before}
        self.logits.step(slopes, rate=self.options.rate)

    def state(self) -> dict[str, Any]:
        """Logits, moments and first losses."""
        return {"logits": asdict(self.logits), "first": self.first}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Logits, moments and first losses."""
        self.logits, self.first = Adam(**state["logits"]), dict(state["first"])


def _softmax(logits: Mapping[str, float]) -> dict[str, float]:
    """The softmax times the number of terms: 1 each where all are alike."""
    highest = max(logits.values(), default=0.0)
    power = {term: math.exp(value - highest) for term, value in logits.items()}
    total = sum(power.values())
    return {term: len(power) * value / total for term, value in power.items()}
